"""The Kubernetes API as the lease, and the program around it, call it: JSON by path."""
