"""Hitachi Vantara's VSP: LDEVs; LU paths, by which host groups of its ports see them; pairs, by which it copies.

`names` (pure rules), `session` (log-in), `client` (calls, fields), `groups`, `paths`, `array` (what we mean by
them); `pairs` (their calls and fields), `sources`, `copies`.
"""
