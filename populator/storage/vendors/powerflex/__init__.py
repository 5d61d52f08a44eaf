"""Dell PowerFlex by its gateway's REST API.

`names` (pure rules), `session` (log-in), `client` (calls, fields), `sdcs`, `array` (what we mean by them).
"""
