"""Dell PowerMax by Unisphere's REST API: `names` (rules), `session`, `client`, `records`, `hosts`, `views`, `array`."""
