"""The node as a process: built from its settings, run until a signal, queried through its control socket.

Imported by the command line only.
"""

from __future__ import annotations

from ziggurat.node.daemon.control import Arguments, NotRunning, RequestRefused, ask, is_running
from ziggurat.node.daemon.daemon import CannotRun, run_daemon

__all__ = ["Arguments", "CannotRun", "NotRunning", "RequestRefused", "ask", "is_running", "run_daemon"]
