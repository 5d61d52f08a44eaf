"""Arguments and environment, checked once and turned into frozen values."""
