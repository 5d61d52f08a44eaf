"""IBM Storage Virtualize as its REST API shows it: `system` (state, rules), `sessions`, `commands`, `server`, `lab`."""
