"""vCenter: the session, and what its inventory shows and its file manager does."""
