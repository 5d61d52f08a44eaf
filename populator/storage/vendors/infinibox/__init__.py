"""Infinidat InfiniBox by its REST API: `names` (rules), `records` and `client`, `hosts`, `mappings`, `array`."""
