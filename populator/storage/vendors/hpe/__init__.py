"""HPE 3PAR, Primera and Alletra by their WSAPI: `names` (pure rules), `session` (log-in), `client` (calls, fields),
`hosts` (host objects and the initiators they hold), `array` (what we mean by them).
"""
