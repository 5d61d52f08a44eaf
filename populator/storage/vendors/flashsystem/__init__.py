"""IBM FlashSystem and all that runs Storage Virtualize, by its REST API.

`names` (pure rules), `session` (tokens), `client` (calls), `records` (what they answer), `volumes`, `hosts`,
`mappings`, `copies` with `copy_start`, `array` (what we mean by them).
"""
