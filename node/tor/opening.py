"""Open a control connection: dial, then authenticate. The library that speaks the protocol is imported here, late."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module

from anyio.abc import ByteStream

from ziggurat.node.tor.authentication import ControlCredentials
from ziggurat.node.tor.controller import Controller, TorError
from ziggurat.services import ConnectError, Uri
from ziggurat.services.stream import closing_on_error

__all__ = ["controller_opener", "load_library"]


def load_library() -> None:
    """Import aiostem. It takes half a second, so a program that runs already does it in a thread.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        import_module("ziggurat.node.tor.aiostem_controller")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "aiostem":
            raise
        message = "Tor's control port needs aiostem: pip install 'ziggurat[tor]'"
        raise ImportError(message, name=error.name) from error


def controller_opener(
    control: Uri, credentials: ControlCredentials, reach: Callable[[Uri], Awaitable[ByteStream]]
) -> Callable[[], AbstractAsyncContextManager[Controller]]:
    """Return a function that opens a control connection, for `TorLink`.

    Args:
        control: the address of the control port.
        credentials: what the user gave.
        reach: opens a connection to an address.

    Raises:
        ImportError: as `load_library`.
    """
    load_library()
    from ziggurat.node.tor.aiostem_controller import open_controller

    @asynccontextmanager
    async def open_authenticated() -> AsyncGenerator[Controller, None]:
        try:
            stream = await reach(control)
        except ConnectError as error:
            raise TorError(str(error)) from error
        async with closing_on_error(stream), open_controller(stream, credentials) as controller:
            yield controller

    return open_authenticated
