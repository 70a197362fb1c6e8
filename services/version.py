"""The installed version."""

from __future__ import annotations

import importlib.metadata
from functools import cache

__all__ = ["version"]


@cache  # a look-up searches the folders of sys.path, and each channel has a user agent
def version() -> str:
    """Return the version of the distribution ``ziggurat``, or ``0`` in a source tree that was never installed."""
    try:
        return importlib.metadata.version("ziggurat")
    except importlib.metadata.PackageNotFoundError:
        return "0"
