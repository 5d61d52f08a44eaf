"""What runs on an ESXi host, and how it gets there."""
