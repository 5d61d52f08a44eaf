"""The storage arrays: one contract (`array`), one HTTP door (`http`), a row (`registry`) and a folder per vendor."""
