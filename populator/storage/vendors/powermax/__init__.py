"""Dell PowerMax by Unisphere's REST API.

`names` (rules), `session`, `unisphere`, `client` and `records` (calls), `volumes`, `hosts`, `views`, `array`.
"""
