"""Adapters: other people's clients on our connectors, one file a library.

Importing this package loads none of the libraries; an adapter's name is imported at its first use, and needs the extra
of the library's name.
"""

from typing import TYPE_CHECKING

from ziggurat.layers.clients.as_socket import as_socket
from ziggurat.layers.clients.asyncpg import connector_loop
from ziggurat.layers.clients.attach import connect_protocol
from ziggurat.layers.clients.connectable import Connectable, ConnectableConnector

if TYPE_CHECKING:
    from ziggurat.layers.clients.aiohttp import AiohttpDialer
    from ziggurat.layers.clients.httpcore import HttpcoreBackend
    from ziggurat.layers.clients.httpx import HttpxTransport
    from ziggurat.layers.clients.websockets import WebsocketConnect

__all__ = [
    "AiohttpDialer",
    "Connectable",
    "ConnectableConnector",
    "HttpcoreBackend",
    "HttpxTransport",
    "WebsocketConnect",
    "as_socket",
    "connect_protocol",
    "connector_loop",
]

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would accept any name
    _MODULES = {
        "AiohttpDialer": "aiohttp",
        "HttpcoreBackend": "httpcore",
        "HttpxTransport": "httpx",
        "WebsocketConnect": "websockets",
    }

    def __getattr__(name):
        """Import an adapter at its first use, so that only its own library is needed."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *_MODULES})
