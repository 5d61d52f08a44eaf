"""The wrapper as a package for ESXi: built, judged, installed, removed."""
