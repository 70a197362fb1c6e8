"""What is wrong with a message, in the words that kaspad uses in its Reject.

Peers and their users know these texts: a log of ours and one of theirs can be compared.
"""

from __future__ import annotations

__all__ = ["MISSING", "OUT_OF_RANGE", "TOO_LARGE", "WRONG_LENGTH", "ConversionError"]

MISSING = "Optional field is None while expected to be Some"
WRONG_LENGTH = "Bytes size mismatch error could not convert slice to array"
OUT_OF_RANGE = "Integer parsing error: out of range integral type conversion attempted"
TOO_LARGE = "p2p conversion size too large error"


class ConversionError(ValueError):
    """A message, or a value that was to become one, breaks a rule of the network. ``str`` is the Reject's reason."""
