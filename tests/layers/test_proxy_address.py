"""The forms of an address, for any kind of proxy; those of SOCKS5 have a file of their own."""

from __future__ import annotations

import pytest

from tests.tracebacks import places_of
from ziggurat.layers.proxy_address import ProxyKind, parse_address
from ziggurat.layers.socks5 import UserPass

HTTP = ProxyKind("an HTTP proxy", {"http": "http", "https": "https"}, None)
OTHER = ProxyKind("a SOCKS4 proxy", {"socks4": "socks4", "socks4a": "socks4a"}, 1080, "user")


@pytest.mark.parametrize(
    ("text", "kind", "uri"),
    [
        ("http://proxy", HTTP, "http://proxy:80"),
        ("HTTPS://proxy/", HTTP, "https://proxy:443"),
        ("proxy:3128", HTTP, "http://proxy:3128"),
        ("http://[::1]:3128", HTTP, "http://[::1]:3128"),
        ("unix:/run/x", HTTP, "unix:/run/x"),
        ("proxy", OTHER, "socks4://proxy:1080"),
        ("socks4a://proxy", OTHER, "socks4a://proxy:1080"),
    ],
)
def test_scheme_and_port_are_those_of_the_kind(text: str, kind: ProxyKind, uri: str) -> None:
    parsed, auth = parse_address(text, kind)

    assert str(parsed) == uri
    assert auth is None


def test_the_callers_port_precedes_the_kinds() -> None:
    assert parse_address("proxy", HTTP, default_port=8080)[0].port == 8080
    assert parse_address("http://proxy", HTTP, default_port=8080)[0].port == 8080


@pytest.mark.parametrize("text", ["proxy", "[::1]", "user:hunter2@proxy"])
def test_a_kind_without_a_usual_port_needs_one(text: str) -> None:
    with pytest.raises(ValueError, match="bad port: it is missing; expected host:port, ") as caught:
        parse_address(text, HTTP)
    assert places_of("hunter2", caught.value) == []


def test_another_scheme_is_refused_with_those_of_the_kind() -> None:
    with pytest.raises(ValueError, match="bad proxy scheme 'socks5': an HTTP proxy is http:// or https://"):
        parse_address("socks5://proxy", HTTP)


def test_credentials_and_a_user_alone() -> None:
    assert parse_address("http://u:p%20w@proxy", HTTP)[1] == UserPass("u", "p w")
    assert parse_address("http://token@proxy", HTTP)[1] == UserPass("token", "")
    with pytest.raises(ValueError, match="no ':' before '@'"):
        parse_address("token@proxy:1", HTTP)


def test_the_forms_name_the_kinds_scheme() -> None:
    assert OTHER.forms == "host[:port], [IPv6][:port], socks4://user@host[:port] or unix:/path"
