"""One package for each vendor; none of them knows another."""
