"""One ESXi host: its esxcli, its devices, its SSH."""
