"""The storage arrays: one contract (`array`), one HTTP door (`http`), a row (`registry`) and a folder per vendor.

What drivers share stands beside the contract: how calls are made (`login`, `repeat`), what goes wrong (`failures`,
`identity`), and rules that hold for every array (`initiators`, `lun_ids`, `own_names`, `looks`).
"""
