"""Infinidat InfiniBox by its REST API.

`names` (pure rules), `client` and `records` (calls), `volumes`, `hosts`, `mappings`, `array` (what we mean by them).
"""
