"""The exit codes of the command."""

from __future__ import annotations

__all__ = ["FAILED", "INTERRUPTED", "OK", "PROXY_FAILED", "USAGE"]

OK = 0
FAILED = 1
USAGE = 2
PROXY_FAILED = 3
"""The proxy failed, so a probe learned nothing about its target."""

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""
