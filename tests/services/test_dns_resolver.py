"""Names looked up at a name server over any connector, in virtual time."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import dns.rcode
import pytest
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from tests.services.dns_server import answer, is_for, serve, zone
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.testing import MemoryStream, ScriptedProxy, stream_pair
from ziggurat.services import (
    ConnectRefused,
    ConnectTimeout,
    DnsResolver,
    ResolveError,
    TcpConnector,
    Uri,
    dial,
    phase,
)

RECORDS = zone("a.example. AAAA 2001:db8::1", "a.example. A 192.0.2.1")

Play = Callable[[ByteStream], Awaitable[object]]


class Server:
    """A connector to a name server in memory, which remembers its dials."""

    def __init__(self, tasks: anyio.abc.TaskGroup, play: Play) -> None:
        self.tasks = tasks
        self.play = play
        self.dialled: list[str] = []
        self.streams: list[MemoryStream] = []

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current, phase("tcp"):
            self.dialled.append(str(uri))
            near, far = stream_pair()
            self.streams.append(near)
            self.tasks.start_soon(self.play, far)
            return current.established(near)


@asynccontextmanager
async def server(play: Play) -> AsyncIterator[Server]:
    async with anyio.create_task_group() as tasks:
        yield Server(tasks, play)
        tasks.cancel_scope.cancel()


async def refused(resolver: DnsResolver, host: str = "a.example") -> ResolveError:
    with pytest.raises(ResolveError) as caught:
        await resolver(host)
    return caught.value


async def test_the_server_is_dialled_and_its_stream_closed() -> None:
    async with server(partial(serve, script=RECORDS)) as at:
        assert await DnsResolver(at, "192.0.2.53")("a.example") == ["2001:db8::1", "192.0.2.1"]

    assert at.dialled == ["tcp://192.0.2.53:53"]
    assert at.streams[0].closed


@pytest.mark.parametrize("options", [{"reverse": True}, {"split": 1}, {"reverse": True, "split": 7}])
async def test_the_order_and_the_pieces_of_the_answers_do_not_matter(options: dict[str, Any]) -> None:
    async with server(partial(serve, script=RECORDS, **options)) as at:
        assert await DnsResolver(at, "192.0.2.53")("a.example") == ["2001:db8::1", "192.0.2.1"]


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("192.0.2.53", "tcp://192.0.2.53:53"),
        ("[2001:db8::53]", "tcp://[2001:db8::53]:53"),
        ("dns.example:853", "tcp://dns.example:853"),
        (Uri.parse("tcp://dns.example:5353"), "tcp://dns.example:5353"),
    ],
)
async def test_the_server_is_named_with_a_port_or_has_53(given: str | Uri, uri: str) -> None:
    async with server(partial(serve, script=RECORDS)) as at:
        await DnsResolver(at, given)("a.example")
    assert at.dialled == [uri]


async def test_the_questions_go_through_a_proxy() -> None:
    """Through Tor or a corporate proxy: nothing but the proxy sees this machine."""
    proxy = ScriptedProxy(target=partial(serve, script=RECORDS))
    async with server(proxy.handle) as at:
        stack = ServiceBuilder().socks5("proxy.example:1080").service(at)
        assert await DnsResolver(stack, "1.1.1.1")("a.example") == ["2001:db8::1", "192.0.2.1"]

    assert at.dialled == ["socks5://proxy.example:1080"]
    assert proxy.sessions[0].request is not None
    assert (proxy.sessions[0].request.host, proxy.sessions[0].request.port) == ("1.1.1.1", 53)


async def test_with_tls_in_the_stack_it_is_dns_over_tls() -> None:
    """RFC 7858, and the server's certificate names the server, whose address is dialled."""
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("dns.example").configure_cert(serving)
    authority.configure_trust(trusting)

    async def secured(far: ByteStream) -> None:
        await serve(await TLSStream.wrap(far, server_side=True, ssl_context=serving), RECORDS)

    async with server(secured) as at:
        stack = ServiceBuilder().tls(trusting, alpn=(), server_name="dns.example").service(at)
        assert await DnsResolver(stack, "192.0.2.53:853")("a.example") == ["2001:db8::1", "192.0.2.1"]


async def test_a_silent_server_is_given_up_in_time() -> None:
    async with server(partial(serve, script=lambda _: None)) as at:
        start = anyio.current_time()
        error = await refused(DnsResolver(at, "192.0.2.53", timeout=3.0))

        assert anyio.current_time() - start == pytest.approx(3.0)
        assert error.message == "a.example: the name server 192.0.2.53:53 did not answer in 3 s"
        assert error.transient
        assert at.streams[0].closed


async def test_a_family_without_an_answer_costs_half_a_second() -> None:
    """RFC 8305 3: some servers never answer one of the questions."""
    async with server(partial(serve, script=lambda q: RECORDS(q) if is_for(q, "A") else None)) as at:
        for timeout in (None, 3.0):
            start = anyio.current_time()
            assert await DnsResolver(at, "192.0.2.53", timeout=timeout)("a.example") == ["192.0.2.1"]
            assert anyio.current_time() - start == pytest.approx(0.5)


async def test_a_server_that_hangs_up_may_answer_later() -> None:
    async def hang_up(far: ByteStream) -> None:
        await far.receive()
        await far.aclose()

    async with server(hang_up) as at:
        error = await refused(DnsResolver(at, "192.0.2.53"))
    assert error.message == "a.example: the name server 192.0.2.53:53 closed the connection"
    assert error.transient


async def test_half_an_answer_is_enough_when_the_server_hangs_up() -> None:
    async def half(far: ByteStream) -> None:
        with anyio.move_on_after(1.0):
            await serve(far, lambda q: RECORDS(q) if is_for(q, "A") else None)
        await far.aclose()

    async with server(half) as at:
        assert await DnsResolver(at, "192.0.2.53")("a.example") == ["192.0.2.1"]


async def test_a_server_that_speaks_something_else_is_said_so() -> None:
    async def http(far: ByteStream) -> None:
        await far.receive()
        await far.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with server(http) as at:
        error = await refused(DnsResolver(at, "192.0.2.53"))
    assert "is this a name server that speaks DNS over TCP?" in str(error)
    assert not error.transient
    assert at.streams[0].closed


@pytest.mark.parametrize(
    ("raised", "transient", "text"),
    [
        (ConnectRefused("connection refused"), True, "the name server was not reached: connection refused"),
        (ConnectTimeout(1.0, "mine"), True, "the limit 'mine' of 1 s ran out"),
        (RuntimeError("broken"), True, "not reached: RuntimeError: broken"),
    ],
)
async def test_a_server_that_is_not_reached_is_a_failed_look_up(raised: Exception, transient: bool, text: str) -> None:
    async def connector(uri: Uri) -> ByteStream:
        raise raised

    error = await refused(DnsResolver(connector, "192.0.2.53"))
    assert text in error.message
    assert error.transient is transient
    assert error.__cause__ is raised


async def test_the_dial_of_the_server_is_one_of_its_own() -> None:
    """TLS with the name server must not pass for TLS with a target of the same name."""
    async with server(partial(serve, script=zone("dns.example. A 192.0.2.1"))) as at:
        with dial(Uri.parse("https://dns.example")) as current, phase("dns"):
            await DnsResolver(at, "dns.example:853")("dns.example")
            assert [entry.name for entry in current.ledger.phases] == ["dns"]


async def test_a_leaf_dials_what_the_resolver_found() -> None:
    """The leaf's own limit is around the resolver's, and the phase is the leaf's."""
    async with server(partial(serve, script=lambda q: answer(q, rcode=dns.rcode.NXDOMAIN))) as at:
        leaf = TcpConnector(resolver=DnsResolver(at, "192.0.2.53"))
        with pytest.raises(ResolveError, match=r"http://a\.example:80: dns failed .*NXDOMAIN") as caught:
            await leaf(Uri.parse("http://a.example"))
        assert (caught.value.phase, caught.value.sent_to_target) == ("dns", False)

    async with server(partial(serve, script=lambda _: None)) as at:
        leaf = TcpConnector(resolver=DnsResolver(at, "192.0.2.53"), dns_timeout=2.0)
        with pytest.raises(ConnectTimeout) as timeout:
            await leaf(Uri.parse("http://a.example"))
        assert (timeout.value.phase, timeout.value.name) == ("dns", "dns_timeout")


async def never(uri: Uri) -> ByteStream:
    raise AssertionError(f"{uri} was dialled")


@pytest.mark.parametrize("name", ["abc.onion", "ABC.Onion."])
async def test_no_name_server_learns_of_an_onion_service(name: str) -> None:
    error = await refused(DnsResolver(never, "192.0.2.53"), name)
    assert "onion services have no address" in error.message


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "a.localhost"])
async def test_localhost_is_this_machine(name: str) -> None:
    assert await DnsResolver(never, "192.0.2.53")(name) == ["::1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((never, "a b"), ValueError, "server='a b': bad host"),
        ((never, "2001:db8::53"), ValueError, "needs brackets"),
        ((never, "192.0.2.53:0"), ValueError, "server='192.0.2.53:0': bad port"),
        ((never, 53), TypeError, "server must be host"),
        ((None, "192.0.2.53"), TypeError, "connector must be an async function"),
        ((TcpConnector, "192.0.2.53"), TypeError, "connector must be an async function"),
        ((never, "192.0.2.53", 0.0), ValueError, "timeout must be a positive number"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        DnsResolver(*arguments)


def test_without_dnspython_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ziggurat.services.dns_message", raising=False)
    monkeypatch.setitem(sys.modules, "dns.message", None)
    with pytest.raises(ImportError, match=r"DnsResolver needs dnspython: pip install 'ziggurat\[dns\]'"):
        DnsResolver(never, "192.0.2.53")
