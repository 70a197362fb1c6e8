"""Report the node's state to the service manager, if it wants to know (sd_notify(3))."""

from __future__ import annotations

import os
import socket

__all__ = ["sd_notify"]

VARIABLE = "NOTIFY_SOCKET"


def sd_notify(state: str) -> bool:
    """Send a state, e.g. ``READY=1``.

    Returns:
        Whether the state was sent. An unreachable service manager is not an error.
    """
    path = os.environ.get(VARIABLE, "")
    if not path.startswith(("/", "@")):
        return False
    # Abstract sockets (unix(7)) are written with an @ where their name has a zero byte.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.sendto(state.encode(), socket.MSG_DONTWAIT, address)
    except OSError:
        return False
    return True
