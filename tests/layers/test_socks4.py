"""SOCKS4 and 4A: what is sent, what is refused before it is, and what each reply means.

Where a test names a project and a number, that is a report of what a real proxy or client did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio import EndOfStream
from anyio.abc import ByteStream

from tests.tracebacks import frames, places_of
from ziggurat.layers import ServiceBuilder, Socks4Layer
from ziggurat.layers.testing import ResetStream, check_layer, fault_layer, stream_pair
from ziggurat.services import (
    ConnectError,
    Connector,
    ConnectTimeout,
    DialAttribute,
    ProxyAuthError,
    ProxyProtocolError,
    ProxyRefused,
    Uri,
)

URI = Uri.parse("http://target.example:443")
PROXY = Uri.parse("socks4://proxy.example:1080")
GRANTED = b"\x00\x5a\x01\xbb\x00\x00\x00\x00"


class Proxy:
    """A proxy in memory: reads one request, sends ``reply`` in pieces, then echoes, or ends the connection."""

    def __init__(self, reply: bytes = GRANTED, *, split: int = 100, end: str = "") -> None:
        self.reply = reply
        self.split = split
        self.end = end
        self.received = b""
        self.dialled: list[Uri] = []

    async def handle(self, far: ByteStream) -> None:
        try:
            await self._converse(far)
        except EndOfStream:
            pass

    async def _converse(self, far: ByteStream) -> None:
        self.received = await far.receive()
        while self.received.count(b"\0", 8) < 1 + (self.received[4:7] == b"\0\0\0"):
            self.received += await far.receive()
        for start in range(0, len(self.reply), self.split):
            await far.send(self.reply[start : start + self.split])
        if self.end == "eof":
            await far.send_eof()
        elif self.end == "reset":
            far.reset()  # type: ignore[attr-defined]

    async def dial(
        self, layer: Socks4Layer, uri: Uri = URI, below: Callable[[Connector], Connector] | None = None
    ) -> ByteStream:
        near, far = stream_pair()

        async def leaf(target: Uri) -> ByteStream:
            self.dialled.append(target)
            return near

        result: list[ByteStream] = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self.handle, far)
                result.append(await layer.layer(leaf if below is None else below(leaf))(uri))
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as failures:
            error = failures.exceptions[0]
            raise error from error.__cause__
        finally:
            assert near.closed is not bool(result)
        self.far = far
        return result[0]


async def failure(proxy: Proxy, layer: Socks4Layer | None = None) -> ConnectError:
    """Return the error of a dial that must fail in one line."""
    with pytest.raises(ConnectError) as caught:
        await proxy.dial(layer or Socks4Layer(PROXY))
    assert "\n" not in str(caught.value)
    assert (caught.value.phase, caught.value.via) == ("proxy.connect", "proxy.example:1080")
    assert not caught.value.sent_to_target
    return caught.value


@pytest.mark.parametrize(
    ("layer", "uri", "request_"),
    [
        # hyper-util #307: one zero behind the user id, or the name is read as empty
        (Socks4Layer(PROXY), "http://target.example:443", b"\4\1\1\xbb\0\0\0\xff\0target.example\0"),
        (Socks4Layer(PROXY, user_id="ü"), "http://bücher.de", b"\4\1\0\x50\0\0\0\xff\xc3\xbc\0xn--bcher-kva.de\0"),
        (Socks4Layer("socks4://me@proxy.example"), "http://192.0.2.1:1", b"\4\1\0\1\xc0\0\2\1me\0"),
        (Socks4Layer(PROXY, remote_dns=False), "http://192.0.2.1:65535", b"\4\1\xff\xff\xc0\0\2\1\0"),
        (Socks4Layer(PROXY), "http://[2001:db8::1]:80", b"\4\1\0\x50\0\0\0\xff\x002001:db8::1\0"),
    ],
)
async def test_what_is_sent(layer: Socks4Layer, uri: str, request_: bytes) -> None:
    proxy = Proxy()
    stream = await proxy.dial(layer, Uri.parse(uri))
    (entry,) = stream.extra(DialAttribute.ledger).phases

    assert proxy.received == request_
    assert proxy.dialled == [PROXY]
    assert (entry.name, entry.via, entry.limit) == ("proxy.connect", "proxy.example:1080", 60.0)
    assert (entry.sent, entry.received, entry.note) == (len(request_), 8, None)
    await stream.aclose()


@pytest.mark.parametrize("split", [100, 1])
async def test_the_targets_first_bytes_stay_in_the_tunnel(split: int) -> None:
    stream = await Proxy(GRANTED + b"early", split=split).dial(Socks4Layer(PROXY))
    data = b""
    while len(data) < 5:
        data += await stream.receive()

    assert data == b"early"
    await stream.aclose()


async def test_a_reply_with_version_4_is_tolerated_and_noted() -> None:
    # clue/reactphp-socks #90, Indy #456
    stream = await Proxy(b"\x04" + GRANTED[1:]).dial(Socks4Layer(PROXY))

    assert stream.extra(DialAttribute.ledger).phases[0].note == "reply with version 4"
    await stream.aclose()


@pytest.mark.parametrize("version", [0, 4])
@pytest.mark.parametrize("length", [2, 8])
@pytest.mark.parametrize(
    ("code", "kind", "transient", "said"),
    [
        (0x5B, ProxyRefused, True, "rejected or failed (0x5b); SOCKS4 gives no reason"),
        (0x5C, ProxyAuthError, False, "identd"),
        (0x5D, ProxyAuthError, False, "identd"),
    ],
)
async def test_a_refusal_is_known_by_its_second_byte(
    version: int, length: int, code: int, kind: type[ProxyRefused], transient: bool, said: str
) -> None:
    error = await failure(Proxy(bytes([version, code, *bytes(6)])[:length]))

    assert type(error) is kind
    assert (error.reply_code, error.transient) == (code, transient)
    assert said in str(error)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"\x05\xff", "it speaks SOCKS5"),
        (b"H", "it speaks HTTP"),
        (b"\x15\x03", "it speaks TLS"),
        (b"\x00\x00\x12", "it speaks HTTP/2"),
        (b"SSH-", "it speaks SSH"),
        (b"\x00\x07", "its reply begins with 00 07"),
        (b"\x04\x00", "its reply begins with 04 00"),
    ],
)
async def test_what_is_no_socks4_proxy_is_named(reply: bytes, said: str) -> None:
    error = await failure(Proxy(reply))

    assert type(error) is ProxyProtocolError
    assert not error.transient
    assert said in str(error)


@pytest.mark.parametrize("end", ["eof", "reset"])
async def test_a_reply_cut_off_at_each_byte(end: str) -> None:
    for size in range(8):
        error = await failure(Proxy(GRANTED[:size], end=end))

        assert type(error) is ProxyProtocolError
        assert error.transient
        assert ("closed" if end == "eof" else "reset") in str(error)
        assert (f"after {size} bytes of" if size and end == "eof" else "before") in str(error)


@pytest.mark.parametrize("size", [0, 3])
async def test_a_mute_proxy_runs_into_the_limit(size: int) -> None:
    error = await failure(Proxy(GRANTED[:size]), Socks4Layer(PROXY, timeout=5.0))

    assert isinstance(error, ConnectTimeout)
    assert (error.limit, error.name, error.elapsed) == (5.0, "Socks4Layer timeout", 5.0)
    assert error.hint == (None if size else "the proxy says nothing; is it a SOCKS4 proxy?")


@pytest.mark.parametrize(
    ("uri", "remote_dns", "said"),
    [
        (URI, False, r"plain SOCKS4 cannot express a name \(target.example\); use remote_dns=True"),
        (Uri("http", "2001:db8::1", 80), False, r"an IPv6 address \(2001:db8::1\); use remote_dns=True"),
        (Uri("http", "fe80::1%eth0", 80), True, "zone id"),
        (Uri("unix", path="/x"), True, "unix socket"),
        (Uri("unix-abstract", path="x"), True, "unix socket"),
        # dotnet/runtime #48883: the proxy would wait for a name
        (Uri("http", "0.0.0.1", 80), True, r"the address 0\.0\.0\.1"),
        (Uri("http", "0.0.0.0", 80), False, r"the address 0\.0\.0\.0"),
    ],
)
async def test_what_socks4_cannot_express_is_refused_before_the_dial(uri: Uri, remote_dns: bool, said: str) -> None:
    called: list[Uri] = []

    async def leaf(target: Uri) -> ByteStream:
        called.append(target)
        raise AssertionError

    with pytest.raises(ConnectError, match=said) as caught:
        await Socks4Layer(PROXY, remote_dns=remote_dns).layer(leaf)(uri)

    assert not caught.value.transient
    assert called == []


async def peer(far: ByteStream) -> None:
    await Proxy().handle(far)


@pytest.mark.parametrize("layer", [Socks4Layer(PROXY), Socks4Layer(PROXY, user_id="me", timeout=None)], ids=repr)
async def test_the_layer_keeps_the_contract_and_adds_no_wrapper(layer: Socks4Layer) -> None:
    await check_layer(layer, uri=URI, peer=peer, inner_uri=PROXY, transparent=True)


@pytest.mark.parametrize(
    ("text", "uri", "user"),
    [
        ("proxy", "socks4://proxy:1080", ""),
        ("socks4a://proxy:9050", "socks4://proxy:9050", ""),
        ("socks4://hunter2%40x@proxy", "socks4://proxy:1080", "hunter2@x"),
        ("unix:/run/x", "unix:/run/x", ""),
    ],
)
def test_the_forms_of_the_proxys_address(text: str, uri: str, user: str) -> None:
    layer = Socks4Layer(text)

    assert (str(layer.proxy), layer.user_id) == (uri, user)
    assert "hunter2" not in repr(layer)


def test_settings_show_and_the_user_id_does_not() -> None:
    assert repr(Socks4Layer(PROXY, user_id="hunter2", timeout=5.0)) == (
        "Socks4Layer(proxy=Uri('socks4://proxy.example:1080'), user_id='***', remote_dns=True, timeout=5.0)"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"proxy": "http://proxy"}, "bad proxy scheme 'http': a SOCKS4 proxy is socks4:// or socks4a://"),
        ({"proxy": Uri("http", "proxy", 80)}, "bad proxy scheme: 'http'"),
        ({"proxy": "socks4://u:hunter2@proxy"}, "SOCKS4 has no password"),
        ({"proxy": "socks4://hunter2@proxy", "user_id": "x"}, "pass it once"),
        ({"proxy": PROXY, "user_id": "hunter2\0"}, "no NUL"),
        ({"proxy": PROXY, "user_id": "hunter2" * 40}, "at most 255 bytes"),
        ({"proxy": PROXY, "user_id": "hunter2\udc00"}, "lone surrogate"),
        ({"proxy": PROXY, "timeout": -1}, "timeout must be a positive number"),
    ],
)
def test_a_wrong_setting_is_a_value_error_without_a_secret(wrong: dict[str, Any], message: str) -> None:
    for make in (Socks4Layer, ServiceBuilder().socks4):
        with pytest.raises(ValueError, match=message) as caught:
            make(**wrong)
        assert places_of("hunter2", caught.value) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"proxy": None}, "proxy must be a str or a Uri, not NoneType"),
        ({"proxy": PROXY, "user_id": b"hunter2"}, "user_id must be a str, not bytes"),
        ({"proxy": PROXY, "remote_dns": 1}, "remote_dns must be True or False, not 1"),
    ],
)
def test_a_setting_of_another_type_is_a_type_error(wrong: dict[str, Any], message: str) -> None:
    for make in (Socks4Layer, ServiceBuilder().socks4):
        with pytest.raises(TypeError, match=message) as caught:
            make(**wrong)
        assert places_of("hunter2", caught.value) == []


@pytest.mark.parametrize("user", ["", "hunter2"])
async def test_a_failed_send_shows_no_user_id(user: str) -> None:
    below = fault_layer(lambda stream: ResetStream(stream, sent=4)).layer
    with pytest.raises(ConnectError) as caught:
        await Proxy().dial(Socks4Layer(PROXY, user_id=user), below=below)

    assert places_of("hunter2", caught.value) == []
    assert ("_break" in [frame.f_code.co_name for frame in frames(caught.value)]) is (user == "")
