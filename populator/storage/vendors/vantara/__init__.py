"""Hitachi Vantara's VSP: LDEVs, which hosts see by LU paths, one for each host group on one of the array's ports.

`names` (pure rules), `session` (log-in), `client` (calls, fields), `groups`, `paths`, `array` (what we mean by them).
"""
