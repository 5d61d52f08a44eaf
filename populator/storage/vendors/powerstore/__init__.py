"""Dell PowerStore by its REST API: `names` (pure rules), `session`, `client` (calls, fields), `array` (meaning)."""
