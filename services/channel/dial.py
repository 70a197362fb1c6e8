"""One dial of an endpoint, from the call of the connector to the peer's SETTINGS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio.abc import ByteStream

from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.start_http2 import start_http2
from ziggurat.services.dial import Dial, dial, phase
from ziggurat.services.errors import ConnectError, ConnectTimeout
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import Limit
from ziggurat.services.service import Connector
from ziggurat.services.stream import ObservedStream, closing_on_error
from ziggurat.services.uri import Uri

if TYPE_CHECKING:
    from ziggurat.services.channel.endpoint import Endpoint

__all__ = ["EndpointDial", "call_connector", "require_tls"]


class EndpointDial:
    """A single dial; `run` is called once.

    Args:
        endpoint: the target and the limits.
        connector: the stack.
        options: the settings of the connection.
        on_change: called when the connection accepts no more calls, and again when it is lost.

    Attributes:
        ledger: the record of the dial; ``None`` until it starts.
    """

    def __init__(
        self, endpoint: Endpoint, connector: Connector, options: ConnectionOptions, on_change: Callable[[], None]
    ) -> None:
        self.ledger: Ledger | None = None
        self._endpoint = endpoint
        self._connector = connector
        self._options = options
        self._on_change = on_change

    async def run(self) -> ClientProtocol:
        """Dial, within the dial under way in this context if there is one.

        Raises:
            ConnectError: the dial failed.
        """
        protocol: ClientProtocol | None = None
        with dial(self._endpoint.uri) as current:
            self.ledger = current.ledger
            try:
                with current.attempt(), Limit(self._endpoint.connect_timeout, "connect_timeout"):
                    protocol = await self._reach(current)
            except BaseException:
                if protocol is not None:  # a callback of the outcome raised
                    protocol.abort()
                raise
            finally:
                self._report(current.ledger)
        return protocol

    async def _reach(self, current: Dial) -> ClientProtocol:
        target, ledger = self._endpoint.uri, current.ledger
        earlier = len(ledger.phases)  # phases of the caller's dial, which this one joined
        stream = await call_connector(self._connector, target, ledger)
        async with closing_on_error(stream):
            require_tls(target, ledger, earlier)  # before our first byte
            with Limit(self._endpoint.http2_timeout, "http2_timeout") as limit, phase("http2", limit=limit):
                ledger.sent_to_target = True
                return await start_http2(stream, self._options, on_change=self._on_change)

    def cut_off(self, seconds: float, *, last: bool) -> ConnectTimeout:
        """Return the error of a call whose deadline passed during the dial, with the record of the dial so far.

        Args:
            seconds: how long the call has waited.
            last: whether no other call is waiting, so that the dial is about to be cancelled.
        """
        error = ConnectTimeout(seconds, "call deadline", "the call's deadline passed during the dial")
        if self.ledger is not None:
            error.ledger = so_far = self.ledger.snapshot()
            error.target, error.elapsed, error.sent_to_target = so_far.target, so_far.elapsed, so_far.sent_to_target
            running = next((entry for entry in reversed(so_far.phases) if entry.outcome == "running"), None)
            if running is not None:
                error.phase, error.via = running.name, running.via
            if last:
                self.ledger.give_up(error)
        return error

    def _report(self, ledger: Ledger) -> None:
        on_dial = self._endpoint.on_dial
        if on_dial is None:
            return
        try:
            on_dial(ledger)
        except Exception as error:
            context = {"message": f"on_dial={on_dial!r} raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


async def call_connector(connector: Connector, uri: Uri, ledger: Ledger) -> ByteStream:
    """Call the connector and return its stream.

    Raises:
        ConnectError: the connector raised it or another exception, which is then the cause. Other exceptions count as
            transient, since nothing is known about them.
    """
    try:
        stream = await connector(uri)
    except ConnectError:
        raise
    except Exception as error:
        # No local variable: this frame is in the traceback of the cause, so the two would form a cycle.
        raise _mapped(error, ledger) from error
    if not isinstance(stream, ByteStream):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConnectError(f"the connector returned {stream!r}, which is not an anyio ByteStream", transient=False)
    if isinstance(stream, ObservedStream):
        stream.ledger = ledger  # the stack does not own the dial, so no layer has set it
    return stream


def _mapped(error: Exception, ledger: Ledger) -> ConnectError:
    mapped = ConnectError(f"the connector raised {type(error).__name__}: {error}")
    for step in reversed(ledger.phases):
        if step.outcome == "failed":
            mapped.phase, mapped.via = step.name, step.via
            break
    return mapped


def require_tls(target: Uri, ledger: Ledger, earlier: int = 0) -> None:
    """Check that the dial of an https target has verified the target's host by TLS.

    The ledger decides, not the stream: a tunnel through a TLS proxy has TLS attributes, too. A phase that verified
    another name for the host, by ``TlsLayer(server_name=)``, counts for the host.

    Args:
        target: the endpoint's target, which may differ from the ledger's when this dial joined another.
        ledger: the record of the dial.
        earlier: number of phases entered before this dial began, which do not count.

    Raises:
        ConnectError: no ``tls`` phase verified that host. Not transient.
    """
    if target.scheme != "https":
        return
    steps = ledger.phases[earlier:]
    if any(step.verified(target.host) for step in steps):
        return
    others = [asked for step in steps if (asked := step.host or step.via) is not None and step.verified(asked)]
    if others:
        hint = f"TLS was with {' and '.join(others)}: the order of the layers is wrong, put a TlsLayer above any proxy"
    else:
        hint = 'add a TlsLayer above any proxy (or enter phase("tls", via=uri.host) in your own connector), or use http'
    raise ConnectError(f"no layer verified {target.host!r} by TLS, which https requires", hint=hint, transient=False)
