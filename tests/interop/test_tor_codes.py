"""Tor's reply codes: each that Tor sends within seconds is an error of its own; and why the others are missing.

What was read in Tor's source is of 0.4.8.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from tests.interop.onion_descriptors import publish_broken, publish_without_a_service
from tests.interop.targets import echo, refusing
from tests.interop.test_tor import MISTYPED, UNPUBLISHED, check_echo
from tests.interop.tor_network import TorNetwork
from ziggurat.layers import Isolated, Socks5Layer, TorLayer, TorReply
from ziggurat.layers.socks5.replies import reply as known
from ziggurat.services import ProxyRefused, TcpConnector, Uri

pytestmark = pytest.mark.real_io

Refused: TypeAlias = tuple[str, Uri]
"""A SOCKS port, and what it refuses."""


async def refusal(proxy: str, uri: Uri) -> ProxyRefused:
    """Dial with `Socks5Layer`, since `TorLayer` does not send a bad name."""
    with pytest.raises(ProxyRefused) as caught:
        await Socks5Layer(proxy, auth=Isolated()).layer(TcpConnector())(uri)
    return caught.value


@asynccontextmanager
async def closed_port(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    with refusing() as port:
        yield tor.proxy, Uri("tcp", "127.0.0.1", port)


@asynccontextmanager
async def port_for_onions_only(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    with tor.another("onions-only", "SocksPort {address}:9050 ExtendedErrors OnionTrafficOnly\n") as process:
        yield f"{process.address}:9050", Uri("tcp", "localhost", 80)


@asynccontextmanager
async def tor_without_a_network(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    lines = "SocksPort {address}:9050 ExtendedErrors\nSocksTimeout 1\nSocks5Proxy 127.0.0.1:1\n"
    with tor.another("timed-out", lines) as process:
        yield f"{process.address}:9050", Uri("tcp", "localhost", 80)


def named(host: str) -> Callable[[TorNetwork], AbstractAsyncContextManager[Refused]]:
    @asynccontextmanager
    async def provoke(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
        yield tor.proxy, Uri("tcp", host, 80)

    return provoke


@asynccontextmanager
async def port_that_an_onion_does_not_offer(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    yield tor.proxy, Uri("tcp", tor.host.add_onion(80, "127.0.0.1:9"), 81)


@asynccontextmanager
async def onion_that_has_gone(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    """Its descriptor is still there, but its introduction points know it no longer."""
    yield tor.proxy, Uri("tcp", publish_without_a_service(tor), 80)


@asynccontextmanager
async def onion_for_clients_with_a_key(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    public = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=")
    yield tor.proxy, Uri("tcp", tor.host.add_onion(80, "127.0.0.1:9", client_key=public), 80)


@asynccontextmanager
async def onion_for_another_key(tor: TorNetwork) -> AsyncGenerator[Refused, None]:
    async with onion_for_clients_with_a_key(tor) as (proxy, uri):
        wrong = base64.b64encode(secrets.token_bytes(32)).decode()
        tor.client.ask(f"ONION_CLIENT_AUTH_ADD {uri.host.removesuffix('.onion')} x25519:{wrong}")
        yield proxy, uri


PROVOKED: list[tuple[TorReply, Callable[[TorNetwork], AbstractAsyncContextManager[Refused]]]] = [
    (TorReply.GENERAL_FAILURE, closed_port),
    (TorReply.NOT_ALLOWED, port_for_onions_only),
    (TorReply.HOST_UNREACHABLE, named("nobody.test")),
    (TorReply.CONNECTION_REFUSED, port_that_an_onion_does_not_offer),
    (TorReply.TIMED_OUT, tor_without_a_network),
    (TorReply.DESCRIPTOR_NOT_FOUND, named(UNPUBLISHED)),
    (TorReply.INTRODUCTION_FAILED, onion_that_has_gone),
    (TorReply.CLIENT_AUTH_MISSING, onion_for_clients_with_a_key),
    (TorReply.CLIENT_AUTH_WRONG, onion_for_another_key),
    (TorReply.BAD_ADDRESS, named(MISTYPED)),
    (TorReply.BAD_ADDRESS, named("expyuzz4wqqyqhjn.onion")),  # version 2
]

NOT_PROVOKED = {
    TorReply.NETWORK_UNREACHABLE: "Tor says it to streams that wait when the last of its directories has failed; a Tor "
    "without a network has answered 06 before that",
    TorReply.COMMAND_NOT_SUPPORTED: "Tor says it to BIND and UDP ASSOCIATE, which no layer of ours sends",
    TorReply.ADDRESS_TYPE_NOT_SUPPORTED: "Tor says it to RESOLVE_PTR of a name, which TorResolver refuses by itself",
    TorReply.DESCRIPTOR_INVALID: "Tor has the code, and no line that sends it: a broken descriptor is 04 (below)",
    TorReply.RENDEZVOUS_FAILED: "Tor sets it for the streams of a rendezvous circuit that times out, and attaches "
    "streams only to one that is complete, which no longer can: a service that freezes after it was published is 06",
    TorReply.INTRODUCTION_TIMED_OUT: "each introduction point has to accept its circuit, and then to keep silent until "
    "the circuit times out, a minute each: an unmodified relay answers within milliseconds",
}


@pytest.mark.parametrize(
    ("reply", "provoke"), PROVOKED, ids=[f"{reply:02x}-{reply.name}".lower() for reply, _ in PROVOKED]
)
async def test_a_code_is_an_error_of_its_own(
    reply: TorReply, provoke: Callable[[TorNetwork], AbstractAsyncContextManager[Refused]], tor: TorNetwork
) -> None:
    async with provoke(tor) as (proxy, uri):
        error = await refusal(proxy, uri)

    assert error.reply_code == reply, error
    assert f"the proxy replied: {reply.meaning} ({reply:#04x}); {known(reply).hint}" in str(error)
    assert error.transient == (reply.retry != "never")
    assert not error.sent_to_target


def test_each_code_is_provoked_or_it_is_said_why_not() -> None:
    assert {reply for reply, _ in PROVOKED} | set(NOT_PROVOKED) == set(TorReply)
    assert not {reply for reply, _ in PROVOKED} & set(NOT_PROVOKED)


async def test_an_onion_whose_own_target_is_closed_is_a_general_failure(tor: TorNetwork) -> None:
    async with echo() as port:
        onion = Uri("tcp", tor.host.add_onion(80, f"127.0.0.1:{port}"), 80)
        async with await TorLayer(tor.proxy).layer(TcpConnector())(onion) as stream:
            await check_echo(stream)
    with pytest.raises(ProxyRefused) as caught:
        await TorLayer(tor.proxy).layer(TcpConnector())(onion)

    assert caught.value.reply_code == TorReply.GENERAL_FAILURE


async def test_a_broken_descriptor_is_an_unreachable_host(tor: TorNetwork) -> None:
    error = await refusal(tor.proxy, Uri("tcp", publish_broken(tor), 80))

    assert error.reply_code == TorReply.HOST_UNREACHABLE
