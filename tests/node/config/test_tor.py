from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.node.address import NetAddress
from ziggurat.node.config.tor import OnionBind, find_tor_contradiction, parse_onion_bind, parse_tor_control
from ziggurat.services import Uri

NEAR, AWAY = Uri("tcp", "127.0.0.1", 9051), Uri("tcp", "tor", 9051)


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ("127.0.0.1", NEAR),
        ("127.0.0.1:9051", NEAR),
        ("tor", AWAY),
        ("[::1]", Uri("tcp", "::1", 9051)),
        ("[::1]:9151", Uri("tcp", "::1", 9151)),
        ("unix:/run/tor/control", Uri("unix", path="/run/tor/control")),
        ("unix:///run/tor/control", Uri("unix", path="/run/tor/control")),
        ('unix:/od d/é"q/control', Uri("unix", path='/od d/é"q/control')),
    ],
)
def test_a_control_port(text: str, control: Uri) -> None:
    assert parse_tor_control(text) == control


@pytest.mark.parametrize(
    "text",
    ["", "a b", "127.0.0.1:0", "127.0.0.1:def", "http://tor", "u:p@tor", "unix:", "unix:x", f"unix:/{'x' * 103}"],
)
def test_no_control_port(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (the words are those of others)
        parse_tor_control(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:0", "bad port: 0 "),
        ("127.0.0.1:99999", "bad port: 99999 "),
        ("127.0.0.1:def", "bad port: 'def' "),
        ("::1", "an IPv6 address needs brackets"),
        ("0.0.0.0:9051", "nothing is reached at 0.0.0.0; .* is at 127.0.0.1"),
        ("[::]", "nothing is reached at ::; "),
        ("/run/tor/control", "a unix socket is written unix:/run/tor/control"),
    ],
)
def test_the_message_is_about_what_was_written(text: str, message: str) -> None:
    """ElementsProject/lightning#1938, bitcoin/bitcoin#13397: not about the text with the default port behind it."""
    with pytest.raises(ValueError, match=message):
        parse_tor_control(text)


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("172.17.0.1", NetAddress.parse("172.17.0.1:16112")),
        ("[fd00::1]:5", NetAddress.parse("[fd00::1]:5")),
        ("unix:/run/kaspa/p2p", Path("/run/kaspa/p2p")),
    ],
)
def test_where_tor_connects_to(text: str, bind: OnionBind) -> None:
    assert parse_onion_bind(text, 16112) == bind


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "[::]:16112", "host.docker.internal", "unix:relative", 'unix:/a "b"', "unix:/é", ""]
)
def test_where_tor_cannot_connect_to(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_onion_bind(text, 16112)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fe80::1%eth0", "cannot say"),
        ("[fe80::1%eth0]:5", "cannot say"),
        ("fe80::1", "cannot say"),
        ("224.0.0.1", "cannot connect to a multicast address"),
        ("255.255.255.255", "cannot connect to the broadcast address"),
    ],
)
def test_what_tor_would_refuse_later_is_refused_at_once(text: str, message: str) -> None:
    """bitcoin/bitcoin#24981: Tor was asked to connect to a place that is none, and refused the service."""
    with pytest.raises(ValueError, match=message):
        parse_onion_bind(text, 16112)


def contradiction(
    control: Uri | None = NEAR,
    password_file: Path | None = None,
    cookie: Path | None = None,
    listen_onion: bool = False,
    onion_public: bool = False,
    onion_bind: OnionBind | None = None,
    accepts_peers: bool = True,
) -> str | None:
    return find_tor_contradiction(
        control,
        password_file=password_file,
        cookie=cookie,
        listen_onion=listen_onion,
        onion_public=onion_public,
        onion_bind=onion_bind,
        accepts_peers=accepts_peers,
    )


def test_what_works_together() -> None:
    assert contradiction(None) is None
    assert contradiction(cookie=Path("c")) is None
    assert contradiction(listen_onion=True) is None
    assert contradiction(listen_onion=True, onion_public=True) is None
    assert contradiction(Uri("unix", path="/c"), listen_onion=True) is None
    assert contradiction(AWAY) is None
    assert contradiction(AWAY, listen_onion=True, onion_bind=Path("/p")) is None


def test_what_does_not() -> None:
    file = Path("f")
    assert "mutually exclusive" in str(contradiction(password_file=file, cookie=file))
    assert "listen-onion needs tor-control" in str(contradiction(None, listen_onion=True))
    assert contradiction(onion_public=True) == "onion-public needs listen-onion, the onion service that it tells of"
    assert "tor-cookie needs tor-control" in str(contradiction(None, cookie=file))
    assert "tor-password-file needs tor-control" in str(contradiction(None, password_file=file))
    assert "needs inbound peers" in str(contradiction(listen_onion=True, accepts_peers=False))
    assert "Tor at tor:9051 is not on this machine" in str(contradiction(AWAY, listen_onion=True))
    away = Uri("tcp", "192.0.2.1", 9051)
    assert "onion-bind must name" in str(contradiction(away, listen_onion=True))
