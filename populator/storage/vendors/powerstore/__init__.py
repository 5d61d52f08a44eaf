"""Dell PowerStore by its REST API: `names` (rules), `session`, `client` and `records`, `volumes`, `hosts`, `array`."""
