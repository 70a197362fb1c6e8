"""What a channel makes of its connector's answer: foreign errors are mapped, and https is held to its word."""

from __future__ import annotations

from anyio.abc import ByteStream

from ziggurat.services.errors import ConnectError
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector
from ziggurat.services.stream import ObservedStream
from ziggurat.services.uri import Uri

__all__ = ["answer", "require_tls"]


async def answer(connector: Connector, uri: Uri, ledger: Ledger) -> ByteStream:
    """Ask the stack for a stream.

    Raises:
        ConnectError: also in place of whatever else the connector raises, which is then the cause. The exception of
            a stranger is taken for transient, since nothing is known about it.
    """
    try:
        stream = await connector(uri)
    except ConnectError:
        raise
    except Exception as error:
        # Not through a local name: this frame is in the traceback of the cause, and would make a cycle of the two.
        raise _mapped(error, ledger) from error
    if not isinstance(stream, ByteStream):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConnectError(f"the connector answered with {stream!r}, which is not an anyio ByteStream", transient=False)
    if isinstance(stream, ObservedStream):
        stream.ledger = ledger  # the channel owns the dial, so nobody below has put it there
    return stream


def _mapped(error: Exception, ledger: Ledger) -> ConnectError:
    mapped = ConnectError(f"the connector raised {type(error).__name__}: {error}")
    for step in reversed(ledger.phases):
        if step.outcome == "failed":
            mapped.phase, mapped.via = step.name, step.via
            break
    return mapped


def require_tls(ledger: Ledger) -> None:
    """Check that a dial to an https target has verified the target's own host.

    The ledger is asked and not the stream: a tunnel through a TLS proxy has TLS attributes, too.

    Raises:
        ConnectError: no ``tls`` phase of the dial has that host. Not transient.
    """
    target = ledger.target
    if target.scheme != "https":
        return
    host = target.host.partition("%")[0].removesuffix(".")  # no certificate has a zone id
    for step in ledger.phases:
        if step.name == "tls" and step.outcome == "ok" and step.via is not None and step.via.removesuffix(".") == host:
            return
    raise ConnectError(
        f"no layer verified {target.host!r} by TLS, as https asks for",
        hint='add a TlsLayer to the stack, above any proxy (a connector of your own enters phase("tls", via=uri.host)),'
        " or use http",
        transient=False,
    )
