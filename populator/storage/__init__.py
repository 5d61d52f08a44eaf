"""The storage arrays: one contract (`array`), one HTTP door (`http`), one module per vendor."""
