"""Errors in messages, with the texts of kaspad's Rejects, so that logs of both nodes can be compared."""

from __future__ import annotations

__all__ = ["MISSING", "OUT_OF_RANGE", "TOO_LARGE", "WRONG_LENGTH", "ConversionError"]

MISSING = "Optional field is None while expected to be Some"
WRONG_LENGTH = "Bytes size mismatch error could not convert slice to array"
OUT_OF_RANGE = "Integer parsing error: out of range integral type conversion attempted"
TOO_LARGE = "p2p conversion size too large error"


class ConversionError(ValueError):
    """A message, or a value to be converted to one, breaks a rule of the network. ``str`` is the Reject's reason."""
