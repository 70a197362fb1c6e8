"""The node as a process: built from its settings, run until a signal, queried through its control socket.

Imported by the command line only.
"""

from __future__ import annotations

from ziggurat.node.daemon.control import NotRunning, ask
from ziggurat.node.daemon.daemon import CannotRun, run_daemon

__all__ = ["CannotRun", "NotRunning", "ask", "run_daemon"]
