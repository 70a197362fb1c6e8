"""What the command says to the shell."""

from __future__ import annotations

__all__ = ["FAILED", "INTERRUPTED", "OK", "PROXY_FAILED", "USAGE"]

OK = 0
FAILED = 1
USAGE = 2
PROXY_FAILED = 3
"""Of a probe that learned nothing of its target."""

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
