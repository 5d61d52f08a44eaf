"""Monitoring: alerts as promtool judges them, and a real Prometheus that scrapes runs of the lab."""
