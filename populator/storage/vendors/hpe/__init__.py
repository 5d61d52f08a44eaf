"""HPE 3PAR, Primera and Alletra by their WSAPI.

`names` (pure rules), `session` (log-in), `client` (calls, fields), `hosts`, `vluns`, `array` (what we mean by them).
"""
