"""The exit codes of the command."""

from __future__ import annotations

__all__ = ["FAILED", "IMPOSSIBLE", "INTERRUPTED", "OK", "PROXY_FAILED", "UNPROVED", "USAGE"]

OK = 0
FAILED = 1
USAGE = 2
PROXY_FAILED = 3
"""The proxy failed, so a probe learned nothing about its target."""

IMPOSSIBLE = 3
"""This machine does not allow a leak check."""

UNPROVED = 4
"""A leak check found nothing, but the program failed or never reached its proxy."""

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""
