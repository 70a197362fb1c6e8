"""Dial a second time when the first dial is slow."""

from ziggurat.layers.hedge.latency import LatencyQuantile
from ziggurat.layers.hedge.layer import HedgeLayer

__all__ = ["HedgeLayer", "LatencyQuantile"]
