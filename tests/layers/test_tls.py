from __future__ import annotations

import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from tests.services import tls_peers as peers
from tests.services.tls_peers import Far, connected
from ziggurat.layers.testing import MemoryStream, SplitStream, StallStream, check_layer, stream_pair
from ziggurat.layers.tls import TlsLayer
from ziggurat.services.channel.dial import require_tls
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError, ConnectTimeout, TlsError
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector
from ziggurat.services.stream import DialAttribute, WrappedStream
from ziggurat.services.tls import TlsStream
from ziggurat.services.transport_stream import TransportStream
from ziggurat.services.uri import Uri

TARGET = Uri.parse("https://target.example:443")
CA = trustme.CA()
OTHER_CA = trustme.CA()

Play = Callable[[MemoryStream], Awaitable[object]]


def trusting(alpn: tuple[str, ...] = ("h2",), ca: trustme.CA = CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def serving(*names: str, alpn: tuple[str, ...] = ("h2",), ca: trustme.CA = CA, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    not_after = past if expired else None
    before = {"not_before": past - datetime.timedelta(days=9), "not_after": not_after} if expired else {}
    ca.issue_cert(*(names or ("target.example",)), **before).configure_cert(context)  # type: ignore[arg-type]
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def server(context: ssl.SSLContext | None = None) -> Play:
    """A TLS server that echoes. Its own errors are ignored: the tests are about the client's."""
    context = context or serving()

    async def play(far: MemoryStream) -> None:
        try:
            secured = await TLSStream.wrap(far, server_side=True, ssl_context=context, standard_compatible=False)
            while True:
                await secured.send(await secured.receive())
        except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
            await far.aclose()

    return play


def saying(answer: bytes) -> Play:
    async def play(far: MemoryStream) -> None:
        await far.receive()
        await far.send(answer)
        await far.aclose()

    return play


async def mute(far: MemoryStream) -> None:
    await anyio.sleep_forever()


class Leaf:
    """A leaf that returns the near end of a pair in our wrapper, and keeps it for inspection."""

    def __init__(self, near: MemoryStream) -> None:
        self.near = near
        self.dials = 0

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            self.dials += 1
            return current.established(WrappedStream(self.near))


@asynccontextmanager
async def far_end(play: Play) -> AsyncIterator[Leaf]:
    near, far = stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play, far)
        try:
            yield Leaf(near)
        finally:
            tasks.cancel_scope.cancel()


async def refused(layer: TlsLayer, play: Play, uri: Uri = TARGET) -> ConnectError:
    """Return the error of a dial that must fail and must close its stream."""
    caught: ConnectError | None = None
    async with far_end(play) as leaf:
        try:
            await layer.layer(leaf)(uri)
        except ConnectError as error:
            caught = error
        assert caught is not None, "no error"
        assert leaf.near.closed
    return caught


async def echo_server(stream: ByteStream) -> ByteStream:
    return await TLSStream.wrap(stream, server_side=True, ssl_context=serving(), standard_compatible=False)


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(TlsLayer(trusting()), peer=echo_server, uri=TARGET, inner_uri=TARGET)


async def test_it_returns_anyios_tls_stream_over_a_verified_peer() -> None:
    async with far_end(server()) as leaf:
        with dial(TARGET) as current:
            stream = await TlsLayer(trusting()).layer(leaf)(TARGET)
            assert type(stream) is TLSStream
            assert not stream.extra(TLSAttribute.standard_compatible)
            assert stream.extra(TLSAttribute.alpn_protocol) == "h2"
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        await stream.aclose()
        assert leaf.near.closed

    (entry,) = current.ledger.phases
    assert (entry.name, entry.via, entry.outcome, entry.note, entry.limit) == (
        "tls",
        "target.example",
        "ok",
        None,
        10.0,
    )
    assert entry.sent > 100
    assert entry.received > 500
    assert current.ledger.sent_to_target


@asynccontextmanager
async def own_leaf(far: Far, **kwargs: bool) -> AsyncIterator[tuple[Connector, TransportStream]]:
    """A leaf that returns a `TransportStream`, as those on asyncio do."""
    async with connected(far, **kwargs) as (inner, _):

        async def leaf(uri: Uri, /) -> ByteStream:
            with dial(uri) as current:
                return current.established(inner)

        yield leaf, inner


@pytest.mark.asyncio_only
async def test_over_our_own_stream_it_returns_our_own_which_can_be_handed_over() -> None:
    async with own_leaf(Far()) as (leaf, inner):
        ends: list[str] = []
        inner.on_close(lambda: ends.append("closed"))
        with dial(TARGET) as current:
            stream = await TlsLayer(peers.trusting()).layer(leaf)(TARGET)
        assert type(stream) is TlsStream
        assert stream.extra(TLSAttribute.alpn_protocol) == "h2"
        (entry,) = current.ledger.phases
        assert (entry.name, entry.via, entry.outcome) == ("tls", "target.example", "ok")
        assert (entry.sent, entry.received) == (inner.bytes_sent, inner.bytes_received)
        assert entry.sent > 100
        assert entry.received > 500
        assert current.ledger.sent_to_target
        assert ends == []
        await stream.aclose()
        assert ends == ["closed"]


@pytest.mark.asyncio_only
async def test_over_a_subclass_of_our_own_stream_it_returns_anyios() -> None:
    class Subclass(TransportStream):
        """It may change what is sent."""

    async with connected() as (inner, _):

        async def leaf(uri: Uri, /) -> ByteStream:
            return Subclass(inner._transport, inner._protocol)

        stream = await TlsLayer(peers.trusting()).layer(leaf)(TARGET)
        assert isinstance(stream, WrappedStream)
        assert type(stream.inner) is TLSStream
        await stream.aclose()


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("context", "answer", "message", "transient"),
    [
        (trusting(ca=OTHER_CA), None, "the certificate of target.example was refused: unable to get", False),
        (None, b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer does not speak TLS", False),
        (None, b"\x15\x03\x03\x00\x02\x02\x28", "the peer sent the TLS alert 'handshake failure'", False),
        (None, b"\x16\x03\x03", "the peer closed the connection during the TLS handshake", True),
    ],
    ids=["certificate", "plain text", "alert", "cut off"],
)
async def test_over_our_own_stream_errors_are_the_same(
    context: ssl.SSLContext | None, answer: bytes | None, message: str, transient: bool
) -> None:
    far = Far()
    async with own_leaf(far, serve=answer is None) as (leaf, inner):
        if answer is not None:
            far.send(answer)
            far.writer.write_eof()
        with pytest.raises(TlsError) as caught:
            await TlsLayer(context or peers.trusting()).layer(leaf)(TARGET)
        assert caught.value.message.startswith(message)
        assert caught.value.transient is transient
        assert caught.value.phase == "tls"
        with pytest.raises(anyio.ClosedResourceError):
            await inner.receive()


@pytest.mark.asyncio_only
async def test_over_our_own_stream_a_mute_peer_times_out_and_the_stream_is_closed() -> None:
    async with own_leaf(Far(), serve=False) as (leaf, inner):
        with pytest.raises(ConnectTimeout) as caught:
            await TlsLayer(peers.trusting(), timeout=3.0).layer(leaf)(TARGET)
        assert caught.value.name == "TlsLayer timeout"
        with pytest.raises(anyio.ClosedResourceError):
            await inner.receive()


async def test_the_owner_of_the_dial_attaches_the_ledger() -> None:
    async with far_end(server()) as leaf:

        async def bare(uri: Uri, /) -> ByteStream:
            return leaf.near

        stream = await TlsLayer(trusting()).layer(bare)(TARGET)
        ledger: Ledger = stream.extra(DialAttribute.ledger)
        await stream.aclose()
    assert [entry.via for entry in ledger.phases] == ["target.example"]


async def test_the_default_context_trusts_the_system_and_offers_alpn(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    CA.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with far_end(server()) as leaf:
        stream = await TlsLayer().layer(leaf)(TARGET)
        assert stream.extra(TLSAttribute.alpn_protocol) == "h2"
        await stream.aclose()


@pytest.mark.parametrize(
    ("host", "name", "sni"),
    [
        ("target.example", "target.example", "target.example"),
        ("target.example.", "target.example", "target.example"),
        ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1", None),
        ("[2001:DB8::1]", "2001:db8::1", None),
        ("[fe80::1%25eth0]", "fe80::1", None),
    ],
)
async def test_the_name_that_is_sent_and_verified(host: str, name: str, sni: str | None) -> None:
    seen: list[str | None] = []
    context = serving(name)
    context.sni_callback = lambda _, asked, __: seen.append(asked)  # type: ignore[assignment,func-returns-value]
    async with far_end(server(context)) as leaf:
        stream = await TlsLayer(trusting()).layer(leaf)(Uri.parse(f"https://{host}"))
        assert [entry.via for entry in stream_ledger(stream)] == [name]
        await stream.aclose()
    assert seen == [sni]


def stream_ledger(stream: ByteStream) -> list[object]:
    ledger: Ledger = stream.extra(DialAttribute.ledger)
    return list(ledger.phases)


@pytest.mark.parametrize(
    ("context", "uri", "text", "hint"),
    [
        (serving("other.example"), TARGET, "certificate is not valid for 'target.example'", "the right host"),
        (serving(), Uri.parse("https://127.0.0.1"), "not valid for '127.0.0.1'", "the right address"),
        (serving(ca=OTHER_CA), TARGET, "unable to get local issuer certificate", "ca="),
        (serving(expired=True), TARGET, "certificate has expired", "clock"),
    ],
    ids=["name", "address", "authority", "expired"],
)
async def test_a_certificate_that_does_not_match_is_refused(
    context: ssl.SSLContext, uri: Uri, text: str, hint: str
) -> None:
    error = await refused(TlsLayer(trusting()), server(context), uri)

    assert type(error) is TlsError
    assert error.phase == "tls"
    assert error.via == uri.host
    assert error.message.startswith(f"the certificate of {uri.host} was refused: ")
    assert text in error.message
    assert hint in (error.hint or "")
    assert not error.transient
    assert error.sent_to_target
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.parametrize(
    ("offered", "selected"), [((), "no protocol"), (("http/1.1",), "no protocol"), (("h3", "h2"), None)]
)
async def test_the_selected_protocol_must_be_one_of_alpn(offered: tuple[str, ...], selected: str | None) -> None:
    layer, play = TlsLayer(trusting()), server(serving(alpn=offered))
    if selected is not None:
        error = await refused(layer, play)
        assert type(error) is TlsError
        assert error.message == f"the peer selected {selected} (ALPN), not h2"
        assert error.phase == "tls"
        return
    async with far_end(play) as leaf:
        await (await layer.layer(leaf)(TARGET)).aclose()


async def test_the_error_hints_at_a_context_that_offers_another_protocol() -> None:
    error = await refused(TlsLayer(trusting(("http/1.1",))), server(serving(alpn=("http/1.1",))))
    assert error.message == "the peer selected http/1.1 (ALPN), not h2"
    assert "set_alpn_protocols" in (error.hint or "")


async def test_without_alpn_any_protocol_is_accepted() -> None:
    async with far_end(server(serving(alpn=()))) as leaf:
        stream = await TlsLayer(trusting(()), alpn=()).layer(leaf)(TARGET)
        assert stream.extra(TLSAttribute.alpn_protocol) is None
        await stream.aclose()


def state_of(context: ssl.SSLContext) -> tuple[object, ...]:
    return (
        context.options, context.verify_mode, context.check_hostname, context.verify_flags, context.minimum_version,
        context.maximum_version, context.cert_store_stats(), [c["name"] for c in context.get_ciphers()],
        context.post_handshake_auth, context.sni_callback, context.keylog_filename,
    )  # fmt: skip


async def test_the_callers_context_is_used_and_never_changed() -> None:
    context = trusting(())  # offers no ALPN, which only the server can see
    before = state_of(context)
    error = await refused(TlsLayer(context, alpn=("h2",)), server())
    assert error.message == "the peer selected no protocol (ALPN), not h2"
    assert state_of(context) == before


async def test_a_context_that_does_not_verify_is_noted() -> None:
    context = trusting()
    context.check_hostname = False
    async with far_end(server(serving("other.example"))) as leaf:
        with dial(TARGET) as current:
            await (await TlsLayer(context).layer(leaf)(TARGET)).aclose()
    assert current.ledger.phases[0].note == "not verified: the context does not check"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),  # an HTTP/2 server's SETTINGS
        b"SSH-2.0-OpenSSH_9\r\n",
    ],
)
async def test_a_plain_text_server_is_recognised(answer: bytes) -> None:
    error = await refused(TlsLayer(trusting()), saying(answer))
    assert type(error) is TlsError
    assert error.message.startswith("the peer does not speak TLS")
    assert "plain-text" in (error.hint or "")
    assert not error.transient


async def test_an_alert_of_the_peer_is_reported() -> None:
    error = await refused(TlsLayer(trusting()), saying(b"\x15\x03\x03\x00\x02\x02\x28"))
    assert error.message == "the peer sent the TLS alert 'handshake failure'"


@pytest.mark.parametrize("answer", [b"", b"\x16", b"\x16\x03\x03\x00\x50", b"\x16\x03\x03\x00\x50aaaa"])
async def test_a_peer_that_closes_during_the_handshake_is_reported(answer: bytes) -> None:
    error = await refused(TlsLayer(trusting()), saying(answer))
    assert type(error) is TlsError
    assert error.message == "the peer closed the connection during the TLS handshake"
    assert error.transient


async def test_a_peer_that_closes_is_reported_on_a_context_that_ignores_unexpected_eof() -> None:
    context = trusting()
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    error = await refused(TlsLayer(context), saying(b"\x16\x03\x03\x00\x50aaaa"))
    assert "closed the connection" in error.message
    assert error.transient


async def test_a_reset_during_the_handshake_is_reported() -> None:
    async def reset(far: MemoryStream) -> None:
        await far.receive()
        far.reset()

    error = await refused(TlsLayer(trusting()), reset)
    assert type(error) is TlsError
    assert error.message == "the connection was lost during the TLS handshake"
    assert error.transient


async def test_a_silent_peer_times_out_in_the_tls_phase() -> None:
    started = anyio.current_time()
    error = await refused(TlsLayer(trusting(), timeout=3.0), mute)
    assert isinstance(error, ConnectTimeout)
    assert (error.phase, error.name, error.limit) == ("tls", "TlsLayer timeout", 3.0)
    assert anyio.current_time() - started == pytest.approx(3.0)
    assert error.sent_to_target  # the hello was sent


async def test_a_peer_that_stalls_half_way_times_out_and_a_cancellation_closes_the_stream() -> None:
    async with far_end(server()) as leaf:

        async def stalling(uri: Uri, /) -> ByteStream:
            return StallStream(leaf.near, 100)

        with anyio.move_on_after(2.0) as scope:
            await TlsLayer(trusting(), timeout=None).layer(stalling)(TARGET)
        assert scope.cancelled_caught
        assert leaf.near.closed


async def test_the_stream_ends_with_the_connection_even_without_a_close_notify() -> None:
    async def hang_up(far: MemoryStream) -> None:
        await TLSStream.wrap(far, server_side=True, ssl_context=serving(), standard_compatible=False)
        await far.aclose()

    async with far_end(hang_up) as leaf:
        stream = await TlsLayer(trusting()).layer(leaf)(TARGET)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        await stream.aclose()


async def test_a_handshake_works_in_small_pieces() -> None:
    async with far_end(server()) as leaf:

        async def splitting(uri: Uri, /) -> ByteStream:
            return SplitStream(leaf.near, 1)

        stream = await TlsLayer(trusting()).layer(splitting)(TARGET)
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        await stream.aclose()


async def test_tls_inside_tls_verifies_the_proxy_below_and_the_target_above() -> None:
    proxy = Uri.parse("http://proxy.example:3128")

    async def play(far: MemoryStream) -> None:
        outer = await TLSStream.wrap(
            far, server_side=True, ssl_context=serving("proxy.example", alpn=()), standard_compatible=False
        )
        inner = await TLSStream.wrap(outer, server_side=True, ssl_context=serving(), standard_compatible=False)
        await inner.send(await inner.receive())

    async with far_end(play) as leaf:
        below = TlsLayer(trusting(()), alpn=()).layer(leaf)
        known: list[bool] = []

        async def tunnel(uri: Uri, /) -> ByteStream:
            with dial(uri) as current:
                stream = await below(proxy)
                known.append(current.ledger.sent_to_target)
                return stream

        with dial(TARGET) as current:
            stream = await TlsLayer(trusting()).layer(tunnel)(TARGET)
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        await stream.aclose()

    assert known == [False], "the hello for the proxy is not for the target"
    assert current.ledger.sent_to_target
    assert [entry.via for entry in current.ledger.phases] == ["proxy.example", "target.example"]


@pytest.mark.parametrize(("target", "says"), [("https://api.example", True), ("http://api.example", False)])
async def test_a_failure_with_another_host_than_an_https_targets_names_the_order_of_the_layers(
    target: str, says: bool
) -> None:
    """``.socks5(proxy).tls()``: a SOCKS5 proxy does not speak TLS, and its user wanted it with the target."""
    proxy = Uri.parse("tcp://proxy.corp:1080")
    with dial(Uri.parse(target)):
        error = await refused(TlsLayer(trusting()), saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), proxy)
    text = "TLS was with proxy.corp, which a layer above dials; if it was meant for api.example, put it above"
    assert (text in str(error.hint)) == says
    assert "is it a plain-text server" in str(error.hint)


async def test_typed_attributes_of_the_stream_below_are_found() -> None:
    async with far_end(server()) as leaf:
        leaf.near.attributes[SocketAttribute.remote_port] = lambda: 4711
        stream = await TlsLayer(trusting()).layer(leaf)(TARGET)
        assert stream.extra(SocketAttribute.remote_port) == 4711
        await stream.aclose()


async def test_a_unix_socket_has_no_name_to_verify_and_is_not_dialled() -> None:
    async with far_end(mute) as leaf:
        with pytest.raises(TlsError, match="no host name to verify") as caught:
            await TlsLayer(trusting()).layer(leaf)(Uri.parse("unix:/run/x"))
        assert leaf.dials == 0
    assert not caught.value.transient


def test_each_stack_gets_its_own_default_context_and_the_callers_is_shared() -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        raise AssertionError

    def contexts(layer: TlsLayer) -> list[object]:
        stacks: list[Connector] = [layer.layer(leaf), layer.layer(leaf)]
        return [stack.context for stack in stacks]  # type: ignore[attr-defined]

    first, second = contexts(TlsLayer())
    assert first is not second
    mine = trusting()
    assert contexts(TlsLayer(mine)) == [mine, mine]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"context": "tls"}, TypeError, "context must be an ssl.SSLContext or None, not 'tls'"),
        ({"context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, ValueError, "context must be a client's"),
        ({"alpn": "h2"}, TypeError, "alpn must be a sequence of names"),
        ({"alpn": ("",)}, ValueError, "alpn names have 1 to 255 ASCII characters, not ''"),
        ({"alpn": ("é",)}, ValueError, "alpn names"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        TlsLayer(**arguments)  # type: ignore[arg-type]


def test_repr_shows_the_settings() -> None:
    assert repr(TlsLayer()) == "TlsLayer(context=None, alpn=('h2',), timeout=10.0)"
    assert repr(TlsLayer(trusting(), alpn=())) == "TlsLayer(context=SSLContext, alpn=(), timeout=10.0)"


@pytest.fixture
def authority_file(tmp_path: Path) -> Path:
    path = tmp_path / "corporate-ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return path


async def test_the_authorities_of_a_file_are_trusted(authority_file: Path) -> None:
    async with far_end(server()) as leaf:
        stream = await TlsLayer(ca=authority_file).layer(leaf)(TARGET)
        await stream.send(b"ping")
        assert await stream.receive() == b"ping"


async def test_they_are_the_only_ones(tmp_path: Path) -> None:
    OTHER_CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    error = await refused(TlsLayer(ca=tmp_path / "ca.pem"), server())
    assert "unable to get local issuer certificate" in str(error)


async def test_the_client_certificate_of_a_file_is_sent(authority_file: Path, tmp_path: Path) -> None:
    own = CA.issue_cert("client.example")
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    context = serving()
    CA.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    names: list[object] = []

    async def play(far: MemoryStream) -> None:
        secured = await TLSStream.wrap(far, server_side=True, ssl_context=context, standard_compatible=False)
        names.append(secured.extra(TLSAttribute.peer_certificate)["subjectAltName"])
        await secured.send(b"welcome")

    async with far_end(play) as leaf:
        stream = await TlsLayer(ca=authority_file, client_cert=tmp_path / "client.pem").layer(leaf)(TARGET)
        assert await stream.receive() == b"welcome"
    assert names == [(("DNS", "client.example"),)]


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        (Uri.parse("https://10.0.0.7:8443"), "target.example"),
        (Uri.parse("https://balancer.example"), "TARGET.example."),
        (Uri.parse("unix:/run/tls.sock"), "target.example"),
    ],
)
async def test_another_name_than_the_dialled_one_is_sent_and_verified(uri: Uri, name: str) -> None:
    """grpc-rust#1258, tonic's ``domain_name``: the certificate names the service, and the dial an address."""
    seen: list[str | None] = []
    context = serving()
    context.sni_callback = lambda _, sni, __: seen.append(sni)
    layer = TlsLayer(trusting(), server_name=name)
    async with far_end(server(context)) as leaf:
        stream = await layer.layer(leaf)(uri)
    [entry] = stream.extra(DialAttribute.ledger).phases

    assert seen == ["target.example"]
    assert (entry.via, entry.host) == ("target.example", uri.host)


async def test_a_name_that_is_the_dialled_one_changes_nothing() -> None:
    async with far_end(server()) as leaf:
        stream = await TlsLayer(trusting(), server_name="target.example").layer(leaf)(TARGET)
    [entry] = stream.extra(DialAttribute.ledger).phases
    assert (entry.via, entry.host) == ("target.example", None)


async def test_a_certificate_for_the_dialled_name_is_refused_for_another_server_name() -> None:
    error = await refused(TlsLayer(trusting(), server_name="other.example"), server())
    assert "via other.example" in str(error)
    assert "certificate is not valid for 'other.example'" in str(error)


@pytest.mark.parametrize("target", ["https://10.0.0.7", "https://10.0.0.7:8443", "https://[fe80::1%25eth0]"])
async def test_an_https_endpoint_takes_the_name_for_its_own_host(target: str) -> None:
    uri = Uri.parse(target)
    async with far_end(server()) as leaf:
        stream = await TlsLayer(trusting(), server_name="target.example").layer(leaf)(uri)

    require_tls(uri, stream.extra(DialAttribute.ledger))


async def test_the_name_that_was_verified_for_a_proxy_counts_for_no_target() -> None:
    """With ``server_name=`` of the target below the proxy, TLS ends at the proxy all the same."""
    proxy, target = Uri.parse("http://proxy.example:3128"), Uri.parse("https://target.example")
    async with far_end(server()) as leaf:
        with dial(target) as current:
            await TlsLayer(trusting(), server_name="target.example").layer(leaf)(proxy)
    [entry] = current.ledger.phases

    assert entry.via == target.host
    with pytest.raises(ConnectError, match=r"no layer verified 'target\.example' by TLS"):
        require_tls(target, current.ledger)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"server_name": "a b"}, ValueError, "server_name='a b': bad host: 'a b'"),
        ({"server_name": ""}, ValueError, "server_name='': bad host"),
        ({"server_name": "a.example:443"}, ValueError, "server_name='a.example:443': bad host"),
        ({"server_name": 7}, TypeError, "server_name must be a host name or an IP address, not 7"),
        ({"ca": "missing.pem"}, ValueError, "ca='missing.pem': no such file or directory"),
        ({"ca": 7}, TypeError, "ca must be the path of a PEM file, not int"),
        ({"client_cert": "missing.pem"}, ValueError, "client_cert='missing.pem': no such file or directory"),
        ({"context": trusting(), "ca": "x.pem"}, ValueError, "ca='x.pem' beside a context: load the file into the"),
        ({"context": trusting(), "client_cert": ("a", "b")}, ValueError, r"client_cert=\('a', 'b'\) beside a context"),
    ],
)
def test_wrong_names_and_files_are_refused_at_construction(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        TlsLayer(**arguments)


def test_the_repr_has_the_names_and_files_that_are_set(authority_file: Path) -> None:
    assert repr(TlsLayer()) == "TlsLayer(context=None, alpn=('h2',), timeout=10.0)"
    assert repr(TlsLayer(server_name="A.example", ca=str(authority_file))) == (
        f"TlsLayer(context=None, alpn=('h2',), timeout=10.0, server_name='a.example', ca={str(authority_file)!r})"
    )
