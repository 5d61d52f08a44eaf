"""NetApp ONTAP by its REST API: `names` (pure rules), `client` (calls, fields), `array` (what we mean by them)."""
