"""What is wrong with a message, in the words that kaspad uses in its Reject.

Peers and their users know these texts: a log of ours and one of theirs can be compared.
"""

from __future__ import annotations

__all__ = ["MISSING", "NO_ARRAY", "RANGE", "TOO_LARGE", "ConversionError"]

MISSING = "Optional field is None while expected to be Some"
NO_ARRAY = "Bytes size mismatch error could not convert slice to array"
RANGE = "Integer parsing error: out of range integral type conversion attempted"
TOO_LARGE = "p2p conversion size too large error"


class ConversionError(ValueError):
    """A message, or a value that was to become one, breaks a rule of the network. ``str`` is the Reject's reason."""
