"""Dell PowerStore's REST API: `cluster` (state, rules), `query`, `records` (columns), `sessions`, `server`, `lab`."""
