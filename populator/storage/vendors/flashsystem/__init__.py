"""IBM FlashSystem and all that runs Storage Virtualize, by its REST API: `names` (pure rules), `session` (tokens),
`client` (calls) and `records` (what they answer), `volumes`, `hosts`, `mappings`, and `array` (what we mean by them).
"""
