"""Prometheus metrics of dials and their streams, and ``grafana.json``, a board that shows them."""

from ziggurat.layers.metrics.layer import MetricsLayer

__all__ = ["MetricsLayer"]
