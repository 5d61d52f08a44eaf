"""vCenter: the session, and what its inventory and file manager tell and do."""
