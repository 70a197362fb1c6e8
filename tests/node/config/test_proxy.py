from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.config.proxy import Proxy, masked, parse_proxy_url, parse_socks5_proxy


def parsed(text: str) -> Proxy:
    proxy = parse_socks5_proxy(text)
    assert proxy is not None
    return proxy


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.1", "127.0.0.1:9050"),
        ("proxy.corp:1080", "proxy.corp:1080"),
        ("[::1]", "[::1]:9050"),
        ("[::1]:9150", "[::1]:9150"),
        ("socks5://tor", "tor:9050"),
        ("unix:/run/tor/socks", "unix:/run/tor/socks"),
    ],
)
def test_a_proxy_without_a_port_gets_tors(text: str, where: str) -> None:
    proxy = parsed(text)

    assert proxy.uri.authority == where
    assert proxy.credentials is None


def test_credentials_are_parsed_but_never_shown() -> None:
    proxy = parsed("socks5://alice:s%3Acret@tor:1080")

    assert proxy.credentials is not None
    assert (proxy.credentials.username, proxy.credentials.password) == ("alice", "s:cret")
    assert str(proxy) == "socks5://***:***@tor:1080"
    assert "cret" not in repr(proxy)


@pytest.mark.parametrize("text", ["127.0.0.1", "unix:/run/tor/socks", "[::1]:1"])
def test_the_shown_form_can_be_parsed_again(text: str) -> None:
    assert parsed(str(parsed(text))) == parsed(text)


def test_none_means_direct() -> None:
    assert parse_socks5_proxy("none") is None


@pytest.mark.parametrize(
    "text", ["", " ", "abc..abc:23456", "192.0.0.1:def", "http://h:1", "h:0", "h:65536", "unix:", "unix:/" + "x" * 1000]
)
def test_a_bad_proxy_is_an_error_and_never_a_direct_dial(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_socks5_proxy(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1", "socks5://127.0.0.1:9050"),
        ("socks5://tor", "socks5://tor:9050"),
        ("socks5h://tor:1", "socks5://tor:1"),
        ("socks4://proxy", "socks4://proxy:1080"),
        ("socks4a://proxy", "socks4a://proxy:1080"),
        ("socks4a://user@proxy", "socks4a://***:***@proxy:1080"),
        ("http://proxy", "http://proxy:80"),
        ("http://u:p@proxy:3128", "http://***:***@proxy:3128"),
        ("HTTPS://proxy", "https://proxy:443"),
        ("unix:/run/tor/socks", "unix:/run/tor/socks"),
        ("none", "None"),
    ],
)
def test_a_proxy_of_any_kind(text: str, shown: str) -> None:
    assert str(parse_proxy_url(text)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://proxy", "bad proxy scheme 'ftp'"),
        ("env", "env is for the commands explain and forward; a node obeys no proxy variable"),
        ("ENV", "env is for"),
        ("socks4://u:S3CRET@proxy", "SOCKS4 has a user ID, but no password"),
        ("", "empty"),
        ("direct", "write none to dial directly"),
        ("None", "write none to dial directly"),
        ("http://u:S3CRET@proxy:0", "bad port"),
        ("proxy:1:u:S3CRET", "bad proxy: expected"),
        ("unix:/" + "x" * 1000, "limited to 103 bytes"),
    ],
)
def test_a_bad_url_is_an_error_without_a_secret(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_proxy_url(text)

    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("socks5://u:p@host:1", "socks5://***@host:1"),
        ("u:p@w@host", "***@host"),
        ("host:1", "host:1"),
        ("HTTP://u:p@host", "HTTP://***@host"),
        ("", ""),
        ("[::1]:65536", "[::1]:65536"),
        ("unix:/run/tor/socks", "unix:/run/tor/socks"),
        ("unix:u:p@/run/tor", "***@/run/tor"),
        ("127.0.0.1:9050:u:p", "***"),
        ("socks5:127.0.0.1:9050:u:p", "***"),
        ("socks5://127.0.0.1:9050:u:p", "socks5://***"),
        ("socks5://u:p:127.0.0.1:9050", "socks5://***"),
        ("u:p", "***"),
        ("u@127.0.0.1:9050:p", "***@***"),
    ],
)
def test_masking_hides_all_possible_credentials(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("text", ["None", "off", "false", "0", "DIRECT"])
def test_other_words_for_direct_are_not_host_names(text: str) -> None:
    with pytest.raises(ValueError, match="write none to dial directly"):
        parse_socks5_proxy(text)


@given(st.text(), st.text())
def test_masking_hides_everything_before_the_last_at_sign(before: str, after: str) -> None:
    shown = masked(f"{before}S3CRET{before}@{after}")

    assert "S3CRET" not in shown.removesuffix(after)
