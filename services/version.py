"""The installed version."""

from __future__ import annotations

import importlib.metadata

__all__ = ["version"]


def version() -> str:
    """Return the version of the distribution ``ziggurat``, or ``0`` in a source tree that was never installed."""
    try:
        return importlib.metadata.version("ziggurat")
    except importlib.metadata.PackageNotFoundError:
        return "0"
