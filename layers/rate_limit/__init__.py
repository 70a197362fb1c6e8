"""Limit how many dials start in a time."""

from ziggurat.layers.rate_limit.layer import RateLimitLayer
from ziggurat.layers.rate_limit.rate import FixedWindow, TokenBucket

__all__ = ["FixedWindow", "RateLimitLayer", "TokenBucket"]
