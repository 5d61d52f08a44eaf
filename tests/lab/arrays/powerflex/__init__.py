"""A simulator of Dell PowerFlex: `system` (state and rules), `sessions` (who is let in), `server` (HTTP), `lab`."""
