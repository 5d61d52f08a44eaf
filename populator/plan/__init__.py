"""What is decided before anything is touched: which volume, on which host, by what right."""
