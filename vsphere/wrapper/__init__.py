"""The vmkfstools wrapper of a host: its contract, and the ways to call it."""
