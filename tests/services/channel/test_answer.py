"""What a channel makes of its connector's answer."""

from __future__ import annotations

import asyncio

import pytest
from anyio.abc import ByteStream

from ziggurat.layers.testing import stream_pair
from ziggurat.services import ConnectError, ConnectRefused, Uri, dial, phase
from ziggurat.services.channel.answer import answer, require_tls

URI = Uri.parse("https://far.example")


async def test_a_stream_is_handed_on_as_it_is() -> None:
    near, _far = stream_pair()

    async def connector(uri: Uri) -> ByteStream:
        assert uri is URI
        return near

    with dial(URI) as current:
        assert await answer(connector, URI, current.ledger) is near


async def test_a_connect_error_passes_unchanged() -> None:
    error = ConnectRefused("nobody listens")

    async def connector(uri: Uri) -> ByteStream:
        raise error

    with pytest.raises(ConnectRefused) as caught, dial(URI) as current:
        await answer(connector, URI, current.ledger)
    assert caught.value is error


@pytest.mark.asyncio_only
async def test_cancellation_is_not_renamed() -> None:
    async def connector(uri: Uri) -> ByteStream:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError), dial(URI) as current:
        await answer(connector, URI, current.ledger)


@pytest.mark.parametrize("original", [ValueError("wrong"), OSError(5, "io"), ExceptionGroup("two", [OSError("one")])])
async def test_any_other_exception_is_mapped_with_the_phase_that_failed(original: Exception) -> None:
    async def connector(uri: Uri) -> ByteStream:
        with phase("fine"):
            pass
        with phase("wrong", via="there"):
            raise original

    with pytest.raises(ConnectError) as caught, dial(URI) as current:
        await answer(connector, URI, current.ledger)
    assert caught.value.__cause__ is original
    assert (caught.value.phase, caught.value.via) == ("wrong", "there")
    assert type(original).__name__ in caught.value.message
    assert caught.value.transient


def checked(target: str, *vias: str | None, fails: bool = False) -> str | None:
    """What `require_tls` says of a dial with tls phases through ``vias``."""
    try:
        with dial(Uri.parse(target)) as current:
            for via in vias:
                try:
                    with phase("tls", via=via):
                        if fails:
                            raise OSError("handshake")
                except OSError:
                    pass
            require_tls(current.ledger)
    except ConnectError as error:
        return str(error)
    return None


async def test_https_asks_for_a_tls_phase_of_its_own_host() -> None:
    assert checked("https://far.example", "far.example") is None
    assert checked("https://far.example.", "far.example") is None
    assert checked("https://[::1]:1", "::1") is None
    assert checked("https://[fe80::1%eth0]:1", "fe80::1") is None
    assert checked("https://far.example", "proxy.example", "far.example") is None
    assert checked("http://far.example") is None
    assert checked("unix:/run/far.sock") is None


async def test_anything_else_is_refused_with_what_to_do() -> None:
    for refusal in (
        checked("https://far.example"),
        checked("https://far.example", None),
        checked("https://far.example", "proxy.example"),
        checked("https://far.example", "far.example", fails=True),
    ):
        assert refusal is not None
        assert "'far.example'" in refusal
        assert "TlsLayer" in refusal
