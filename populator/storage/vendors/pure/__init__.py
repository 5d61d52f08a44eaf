"""Pure Storage FlashArray by REST 2.

`names` (pure rules), `session` (log-in), `client` (calls, fields), `volumes`, `connections`, `array` (their meaning).
"""
