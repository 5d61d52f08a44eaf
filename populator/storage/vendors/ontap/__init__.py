"""NetApp ONTAP by its REST API.

`names` (pure rules), `client` (calls), `records` (what they answer), `igroups`, `array` (what we mean by them).
"""
