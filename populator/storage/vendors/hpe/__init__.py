"""HPE 3PAR, Primera and Alletra by their WSAPI.

`names` (pure rules), `session` (log-in), `client` (calls, fields), `hosts`, `vluns`; for copies by the array itself
`sources` (what a disk is), `attempts` (the request), `looks` and `tasks` (pure), `copies`; `array` (what we mean by
them).
"""
