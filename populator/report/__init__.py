"""What a run publishes: the metrics page, log lines, and the pod's termination message."""
