"""Bitcoin Core's test of proxies (feature_proxy.py), line by line, and what a node on Tor got wrong elsewhere.

The numbers are those of the lines. cjdns and i2p, which Kaspa does not have, are left out. Where we differ on purpose,
the line says so.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

import pytest
from anyio.abc import ByteStream

from tests.node.nodes import proxy_to_peer
from ziggurat.layers.testing import ScriptedProxy
from ziggurat.layers.testing.socks5_messages import CONNECT
from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import AddressNetwork, parse_peer_address
from ziggurat.node.cli.commands.node import config_lines
from ziggurat.node.config import Proxy, Settings, SettingsError, Ways, add_settings, parse_onion_proxy, resolve
from ziggurat.node.config.networks import MAINNET
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.daemon.circuits import networks_record
from ziggurat.node.handshake import NodeIdentity
from ziggurat.node.peer import Isolation, Tunnel
from ziggurat.services import ResolveError, RouteRefused, Uri

pytestmark = pytest.mark.asyncio_only

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"

TARGETS = {
    "ipv4": ("15.61.23.23", 1234),
    "ipv6": ("1233:3432:2434:2343:3234:2345:6546:4534", 5443),
    "onion": (ONION, 8333),
    "name": ("node.noumenon", 8333),
}

ONE, TWO, SIX, UNIX = "127.0.0.1:9001", "127.0.0.1:9002", "[::1]:9003", "unix:/run/tor/socks"
"""ONE takes no credentials, the others prefer them, as Tor does."""

ALL = {"ipv4", "ipv6", "onion", "name"}


def settings(*flags: str) -> Settings:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser, node=True)
    return resolve(parser.parse_args(["--appdir=/nowhere", *flags]), {}).settings


class Rig:
    """A node's connection handler, in front of the four scripted proxies."""

    def __init__(self, ways: Ways) -> None:
        self.proxies = {where: ScriptedProxy(method=0 if where == ONE else None) for where in (ONE, TWO, SIX, UNIX)}
        self.dialled: list[Uri] = []
        self.looked_up: list[str] = []
        self.handler = ConnectionHandler(ways, self._leaf, resolver=self._resolve)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Rig:
        for proxy in self.proxies.values():
            await self._stack.enter_async_context(proxy)
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._stack.aclose()

    async def _leaf(self, uri: Uri, /) -> ByteStream:
        self.dialled.append(uri)
        return await self.proxies[uri.authority].connector()(uri)

    async def _resolve(self, name: str) -> list[str]:
        self.looked_up.append(name)
        raise ResolveError("the system's resolver was asked")

    async def dial(self, network: str) -> None:
        host, port = TARGETS[network]
        uri = Uri("http", host, port)
        stream = await self.handler.stack(uri)(uri)
        await stream.aclose()


LINES: list[tuple[str, list[str], Mapping[str, str | None], set[str]]] = [
    # The line, the flags, the proxy of each target (None: refused), and the proxies that see credentials.
    ("1", [f"--socks5-proxy={ONE}"], dict.fromkeys(ALL, ONE), set()),
    (
        "2",
        [f"--socks5-proxy={ONE}", f"--onion={TWO}", "--no-proxyrandomize"],
        {**dict.fromkeys(ALL, ONE), "onion": TWO},
        set(),
    ),
    ("3", [f"--socks5-proxy={TWO}"], dict.fromkeys(ALL, TWO), {TWO}),
    (
        "4",
        [f"--socks5-proxy={SIX}", "--no-proxyrandomize", "--onion=0"],
        {**dict.fromkeys(ALL, SIX), "onion": None},
        set(),
    ),
    ("6", [f"--socks5-proxy={UNIX}"], dict.fromkeys(ALL, UNIX), {UNIX}),
    # Core dials the other networks directly.
    ("7", [f"--onion={UNIX}"], {**dict.fromkeys(ALL), "onion": UNIX}, {UNIX}),
    ("22, not as Core", [f"--proxy-net=ipv6={TWO}"], {"ipv4": None, "ipv6": TWO, "onion": None, "name": TWO}, {TWO}),
    (
        "23",
        [f"--proxy-net=ipv4={ONE}", f"--proxy-net=ipv6={TWO}"],
        {"ipv4": ONE, "ipv6": TWO, "onion": None, "name": ONE},
        {TWO},
    ),
    (
        "24",
        [f"--socks5-proxy={ONE}", f"--proxy-net=tor={TWO}"],
        {**dict.fromkeys(ALL, ONE), "onion": TWO},
        {TWO},
    ),
    (
        "25, with ipv6 for cjdns",
        [f"--socks5-proxy={ONE}", f"--proxy-net=ipv6={TWO}", "--proxy-net=ipv6=0"],
        {**dict.fromkeys(ALL, ONE), "ipv6": None},
        set(),
    ),
    (
        "tor-only: peers that are named go by an exit",
        ["--tor-only", f"--onion={TWO}"],
        dict.fromkeys(ALL, TWO),
        {TWO},
    ),
]


@pytest.mark.parametrize(("line", "flags", "expected", "credentials"), LINES, ids=[line for line, *_ in LINES])
async def test_each_network_arrives_at_its_proxy(
    line: str, flags: list[str], expected: Mapping[str, str | None], credentials: set[str]
) -> None:
    async with Rig(settings(*flags).ways) as rig:
        for network, proxy in expected.items():
            if proxy is None:
                with pytest.raises(RouteRefused):
                    await rig.dial(network)
            else:
                await rig.dial(network)
    arrived = defaultdict[str, set[tuple[str, int]]](set)
    for where, server in rig.proxies.items():
        for session in server.sessions:
            assert session.request is not None
            assert (session.request.command, session.request.atyp) == (CONNECT, 3)  # text, addresses too
            arrived[where].add((session.request.host, session.request.port))
        if not server.sessions:
            continue
        given = [session.credentials for session in server.sessions]
        offered = {session.methods for session in server.sessions}
        assert offered == {(0,) if "--no-proxyrandomize" in flags else (0, 2)}
        if where in credentials:
            assert None not in given
            assert len(set(given)) == len(given)  # each dial has its own circuit
        else:
            assert set(given) == {None}
    wanted = defaultdict[str, set[tuple[str, int]]](set)
    for network, proxy in expected.items():
        if proxy is not None:
            wanted[proxy].add(TARGETS[network])
    assert arrived == wanted
    assert {uri.authority for uri in rig.dialled} == set(wanted)
    assert rig.looked_up == []


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        # For each network: the proxy, the setting, and whether each dial has credentials of its own.
        (
            [f"--socks5-proxy={ONE}", f"--onion={TWO}"],
            {**dict.fromkeys(["ipv4", "ipv6", "names"], (ONE, "socks5-proxy", True)), "onion": (TWO, "onion", True)},
        ),
        (
            [f"--socks5-proxy={ONE}", f"--onion={TWO}", "--no-proxyrandomize"],
            {**dict.fromkeys(["ipv4", "ipv6", "names"], (ONE, "socks5-proxy", False)), "onion": (TWO, "onion", False)},
        ),
        # What Core does not have: fixed credentials, an HTTP proxy, a unix socket, and a network without a proxy.
        (
            ["--proxy-net=ipv4=socks5://u:S3CRET@127.0.0.1:9001", "--proxy-net=ipv6=http://127.0.0.1:3128"],
            {
                **dict.fromkeys(["ipv4", "names"], (ONE, "proxy-net", False)),
                "ipv6": ("127.0.0.1:3128", "proxy-net", False),
                "onion": (None, "socks5-proxy", False),
            },
        ),
        (
            [f"--onion={UNIX}", "--proxy-net=ipv4=direct", "--proxy-net=ipv6=direct"],
            {**dict.fromkeys(["ipv4", "ipv6", "names"], (None, "proxy-net", False)), "onion": (UNIX, "onion", True)},
        ),
    ],
)
def test_8_each_network_says_its_proxy_and_whether_credentials_are_randomized(
    flags: list[str], expected: Mapping[str, tuple[str | None, str, bool]]
) -> None:
    ways = settings(*flags).ways
    assert {name: (way.via, way.setting, ways.randomizes(way)) for name, way in ways.table()} == expected

    status = networks_record(ways, [])
    assert {name: (record["via"], record["randomized"]) for name, record in status.items()} == {
        name: (via, randomized) for name, (via, _, randomized) in expected.items() if name != "names"
    }


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ([f"--onion={TWO}"], "# onion: socks5://127.0.0.1:9002, credentials randomized (onion)"),
        (
            [f"--onion={TWO}", "--no-proxyrandomize"],
            "# onion: socks5://127.0.0.1:9002, credentials not randomized (onion)",
        ),
        (
            ["--proxy-net=ipv4=socks5://u:S3CRET@127.0.0.1:9001"],
            "# ipv4: socks5://***:***@127.0.0.1:9001, credentials not randomized (proxy-net)",
        ),
        (["--proxy-net=ipv4=http://127.0.0.1:3128"], "# ipv4: http://127.0.0.1:3128 (proxy-net)"),
    ],
)
def test_8_show_config_says_so(flags: list[str], shown: str) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser, node=True)
    lines = config_lines(resolve(parser.parse_args(["--appdir=/nowhere", *flags]), {}))

    assert shown in lines
    assert "S3CRET" not in "".join(lines)


@pytest.mark.parametrize(
    ("where", "flags", "isolation"),
    [
        (ONE, [], "none"),  # it takes no credentials
        (TWO, [], "dial"),
        (TWO, ["--no-proxyrandomize"], "none"),
    ],
)
async def test_8_a_peer_says_what_was_done(where: str, flags: list[str], isolation: Isolation) -> None:
    """What the flag says is what we offer; a proxy may take less."""
    ways = settings(f"--socks5-proxy={where}", *flags).ways
    async with (
        proxy_to_peer(0 if where == ONE else None) as (leaf, _),
        Adaptor(ConnectionHandler(ways, leaf), NodeIdentity("kaspa-devnet")) as adaptor,
    ):
        peer = await adaptor.connect_peer(parse_peer_address(ONION, MAINNET.port))

    assert peer.tunnel == Tunnel(isolation, 40123)


@pytest.mark.parametrize("flags", [[f"--socks5-proxy={ONE}"], [f"--onion={ONE}"], [f"--proxy-net=ipv6={ONE}"]])
def test_9_any_proxy_means_no_listener_and_no_address_of_our_own(flags: list[str]) -> None:
    """Also defect 5: a node elsewhere listened on all interfaces behind its proxy."""
    node = settings(*flags)
    assert node.listen_addresses == ()
    assert node.advertised_address(settings().listen_addresses) is None


@pytest.mark.parametrize(
    ("line", "flags", "message"),
    [
        ("10", ["--socks5-proxy=abc..abc:23456"], "--socks5-proxy: bad value 'abc..abc:23456'"),
        ("10", ["--proxy-net=ipv4=abc..abc:23456"], "--proxy-net: bad value 'ipv4=abc..abc:23456'"),
        ("11", ["--socks5-proxy=192.0.0.1:def"], "--socks5-proxy: bad value '***' (bad port: expected 1 to 65535)"),
        ("12", ["--onion=abc..abc:23456"], "--onion: bad value 'abc..abc:23456'"),
        ("12", ["--onion=192.0.0.1:def"], "--onion: bad value '***' (bad port: expected 1 to 65535)"),
        (
            "16",
            ["--onlynet=onion", f"--socks5-proxy={ONE}", "--onion=0"],
            "onlynet onion leaves nothing to dial: onion",
        ),
        ("16", ["--onlynet=onion", "--proxy-net=onion=0"], "onlynet onion leaves nothing to dial: proxy-net forbids"),
        ("17", ["--onlynet=onion"], "onlynet onion leaves nothing to dial: an onion service is reached through Tor"),
        ("17", ["--tor-only"], "tor-only leaves nothing to dial: an onion service is reached through Tor only"),
        ("19", ["--onlynet=abc"], "--onlynet: bad value 'abc' (unknown network 'abc'); expected ipv4, ipv6 or onion"),
        ("20", ["--proxy-net=ipv4="], "--proxy-net: bad value 'ipv4=' (empty)"),
        ("21", [f"--proxy-net=foo={ONE}"], "--proxy-net: bad value 'foo=127.0.0.1:9001' (unknown network 'foo')"),
        ("26", ["--socks5-proxy=unix:/" + "x" * 1000], "(the path of a unix socket is limited to 103 bytes)"),
        ("26", ["--onion=unix:/" + "x" * 1000], "(the path of a unix socket is limited to 103 bytes)"),
    ],
)
def test_what_cannot_work_does_not_start(line: str, flags: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(*flags)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


async def test_18_onlynet_onion_with_listen_onion_starts_before_tor_has_told_its_proxy() -> None:
    """Core's control port has a default; ours is named. On a real Tor: tests/interop/test_node_through_tor.py."""
    node = settings("--onlynet=onion", "--listen-onion", "--tor-control=127.0.0.1:9051")
    assert node.ways.of_network(AddressNetwork.ONION).setting == "tor-control"
    async with Rig(node.ways) as rig:
        with pytest.raises(RouteRefused, match="Tor has not told its proxy yet"):
            await rig.dial("onion")
        proxy = parse_onion_proxy(TWO).entry
        assert isinstance(proxy, Proxy)
        rig.handler.ways = node.ways.with_tor(proxy)
        await rig.dial("onion")
    assert [str(each) for each in rig.handler.ways.dialled] == ["onion"]
    assert [uri.authority for uri in rig.dialled] == [TWO]
    assert rig.looked_up == []


# --- what another node on Tor got wrong -------------------------------------------------------------------------------


async def test_defect_1_a_dial_through_tor_may_take_a_minute() -> None:
    """Its limit of a second for a direct connection held for proxy, circuit and rendezvous together, too."""
    rig = Rig(settings(f"--socks5-proxy={TWO}").ways)
    limits = {
        network: next(
            layer.seconds for layer in rig.handler.stack(Uri("http", *target)).layers if hasattr(layer, "seconds")
        )
        for network, target in TARGETS.items()
    }
    assert limits == {"ipv4": 60.0, "ipv6": 60.0, "name": 60.0, "onion": 120.0}


@pytest.mark.parametrize("flags", [[f"--socks5-proxy={TWO}"], [f"--proxy-net=ipv6={TWO}"], [f"--onion={TWO}"]])
async def test_defect_2_no_seeder_is_looked_up_by_this_machine(flags: list[str]) -> None:
    async with Rig(settings(*flags).ways) as rig:
        with suppress(RouteRefused):
            await rig.handler.resolve("seeder.example")
    assert rig.looked_up == []
    assert {uri.authority for uri in rig.dialled} <= {TWO}


async def test_defect_3_nothing_is_dialled_before_tor_is_there() -> None:
    rig = Rig(Ways(awaited=True))
    for network in ALL:
        with pytest.raises(RouteRefused, match="Tor has not told its proxy yet"):
            await rig.dial(network)
    with pytest.raises(RouteRefused, match="Tor has not told its proxy yet"):
        await rig.handler.resolve("seeder.example")
    assert (rig.dialled, rig.looked_up) == ([], [])


def test_defect_6_proxies_and_peers_may_have_names() -> None:
    named = settings("--socks5-proxy=tor.example", "--addpeer=node.example")
    assert str(named.ways.of(parse_peer_address("node.example", MAINNET.port))) == "socks5://tor.example:9050"


def test_defect_7_we_speak_a_protocol_that_others_accept() -> None:
    assert NodeIdentity("kaspa-mainnet").protocol_version >= 10


# --- besides ----------------------------------------------------------------------------------------------------------


async def test_a_dead_proxy_means_no_direct_dial() -> None:
    dialled: list[Uri] = []

    async def dead(uri: Uri, /) -> ByteStream:
        dialled.append(uri)
        raise ConnectionRefusedError

    handler = ConnectionHandler(settings(f"--socks5-proxy={TWO}").ways, dead)
    for host, port in TARGETS.values():
        with pytest.raises(OSError):  # noqa: PT011  # a leaf of a user's raises what it likes
            await handler.stack(Uri("http", host, port))(Uri("http", host, port))
    assert {uri.authority for uri in dialled} == {TWO}


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "::1", "fd00::1"])
async def test_loopback_and_private_addresses_count_as_their_family(host: str) -> None:
    uri = Uri("http", host, 1)
    async with Rig(settings(f"--socks5-proxy={TWO}").ways) as rig:
        await (await rig.handler.stack(uri)(uri)).aclose()
    assert [each.authority for each in rig.dialled] == [TWO]
