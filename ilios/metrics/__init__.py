"""Metrics of the service in the formats of Prometheus."""
