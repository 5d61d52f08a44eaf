"""The storage arrays: one contract (`array`), one HTTP door (`http`), a row (`registry`) and a folder per vendor.

What drivers share stands beside the contract: where an array is and how it is called (`access`, `address`, `login`,
`repeat`), what goes wrong (`failures`, `identity`), and rules that hold for every array (`initiators`, `lun_ids`,
`own_names`, `looks`).
"""
