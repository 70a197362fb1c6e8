"""Dial again after a failure."""

from ziggurat.layers.retry.budget import RetryBudget
from ziggurat.layers.retry.layer import RetryLayer
from ziggurat.layers.retry.policy import RetryPolicy, nothing_sent

__all__ = ["RetryBudget", "RetryLayer", "RetryPolicy", "nothing_sent"]
