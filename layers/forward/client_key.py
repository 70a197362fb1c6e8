"""What identifies the local client whose connection is dialled, for proxies that keep clients apart.

`Socks5Listener` sets it, for the task that dials, from the user name and password that the client gave, whatever they
are: as Tor's own SOCKS port does it (IsolateSOCKSAuth). A layer below reads it by `client_key`::

    Socks5Layer("127.0.0.1:9050", auth=Isolated(key=client_key))
"""

from __future__ import annotations

from contextvars import ContextVar

from ziggurat.services.uri import Uri

__all__ = ["client_key", "current_client"]

current_client: ContextVar[str] = ContextVar("ziggurat_client", default="")
"""The key of the client for which this task dials; empty for none."""


def client_key(uri: Uri, /) -> str:
    """Return the key of the client for which the current task dials: a key of `Isolated`.

    Clients that give the same credentials share it, whatever the target; all that give none share the empty one.
    Outside of a `Socks5Listener` it is always empty.

    Args:
        uri: the target, which makes no difference.
    """
    return current_client.get()
