"""The version of what is installed, asked once for everyone who has to say it."""

from __future__ import annotations

import importlib.metadata

__all__ = ["version"]


def version() -> str:
    """The version of the distribution ``ziggurat``; ``0`` where it runs from a source tree and was never installed."""
    try:
        return importlib.metadata.version("ziggurat")
    except importlib.metadata.PackageNotFoundError:
        return "0"
