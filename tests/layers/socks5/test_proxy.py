"""The forms of a proxy's address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.socks5 import UserPass, parse_proxy


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("proxy.corp", "socks5://proxy.corp:1080"),
        ("proxy.corp:9050", "socks5://proxy.corp:9050"),
        ("127.0.0.1", "socks5://127.0.0.1:1080"),
        ("[::1]", "socks5://[::1]:1080"),
        ("[::1]:9050", "socks5://[::1]:9050"),
        ("socks5://proxy.corp", "socks5://proxy.corp:1080"),
        ("socks5h://proxy.corp:1/", "socks5://proxy.corp:1"),
        ("SOCKS5://proxy.corp", "socks5://proxy.corp:1080"),
        ("unix:/run/tor/socks", "unix:/run/tor/socks"),
    ],
)
def test_an_address_is_parsed(text: str, uri: str) -> None:
    parsed, auth = parse_proxy(text)

    assert str(parsed) == uri
    assert auth is None


def test_the_default_port_can_be_changed() -> None:
    assert parse_proxy("127.0.0.1", default_port=9050)[0].port == 9050


def test_credentials_are_percent_decoded() -> None:
    assert parse_proxy("socks5://us%40er:p%3Aa%C3%A9@h:1")[1] == UserPass("us@er", "p:aé")
    assert parse_proxy("user:pass@h")[1] == UserPass("user", "pass")


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_credentials_survive_percent_encoding(user: str, password: str) -> None:
    from urllib.parse import quote

    try:
        text = f"socks5://{quote(user, safe='')}:{quote(password, safe='')}@h:1"
    except UnicodeEncodeError:
        return  # a lone surrogate cannot be encoded in UTF-8
    assert parse_proxy(text)[1] == UserPass(user, password)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", "''"),
        (" h:1", "' h:1'"),
        ("http://proxy:3128", "'http'"),
        ("socks4://proxy:1080", "'socks4'"),
        ("h:0", "0"),
        ("h:65536", "65536"),
        ("h:port", "bad port: 'port'"),
        ("::1", "'::1"),
        ("h/path", "/path"),
        ("unix:", "''"),
    ],
)
def test_a_bad_address_is_a_value_error_that_quotes_it(text: str, quoted: str) -> None:
    with pytest.raises(ValueError, match=r"bad|expected") as caught:
        parse_proxy(text)
    assert quoted in str(caught.value)


@pytest.mark.parametrize("text", ["hunter2@h", "user:@h:1", ":hunter2@h:1", "hunter2:%ff@h:1", "u:hunter2@h:99999"])
def test_bad_credentials_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_proxy(text)
    assert "hunter2" not in str(caught.value)
