"""The forms of a proxy's address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracebacks import places_of
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


@pytest.mark.parametrize("text", ["socks5://token@h:1", "socks5://token:@h:1", "token:@h:1"])
def test_a_user_alone_has_an_empty_password(text: str) -> None:
    assert parse_proxy(text)[1] == UserPass("token", "")


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_any_credentials_survive_percent_encoding(user: str, password: str) -> None:
    from urllib.parse import quote

    try:
        text = f"socks5://{quote(user, safe='')}:{quote(password, safe='')}@h:1"
    except UnicodeEncodeError:
        return  # a lone surrogate cannot be encoded in UTF-8
    assert parse_proxy(text)[1] == UserPass(user, password)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" h:1", "white space"),
        ("http://proxy:3128", "'http'"),
        ("socks4://proxy:1080", "'socks4'"),
        ("h:0", "bad port"),
        ("h:65536", "bad port"),
        ("h:port", "bad port"),
        ("h:", "bad port"),
        (":1080", "bad host: it is missing"),
        ("user:word@", "bad host: it is missing"),
        ("socks5://", "bad host: it is missing"),
        ("::1", "'::1' (an IPv6 address needs brackets)"),
        ("[h]:1080", "IPv6 address in the brackets"),
        ("256.1.1.1:1080", "'256.1.1.1'"),
        ("a..b", "'a..b'"),
        ("h/path", "expected host[:port]"),
        ("h:1080:user:word", "expected host[:port], [IPv6][:port], socks5://user:password@host[:port]"),
        ("socks5 h 1080 user word", "expected host[:port]"),
        ("unix:", "bad unix socket path"),
        ("unix://host/path", "has no host"),
    ],
)
def test_a_bad_address_is_a_value_error_that_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"bad|expected") as caught:
        parse_proxy(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 1080, b"proxy:1080", ("proxy", 1080)])
def test_what_is_not_text_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match="must be a str, not"):
        parse_proxy(wrong)  # type: ignore[arg-type]


MISTAKES = [
    # host:port:user:password and its kin: electrum's and the proxy sellers' spellings
    "127.0.0.1:9050:user:hunter2",
    "socks5:127.0.0.1:9050:user:hunter2",
    "socks5://127.0.0.1:9050:user:hunter2",
    "socks5://user:hunter2:127.0.0.1:9050",
    "user:hunter2:127.0.0.1:9050",
    "[::1]:9050:user:hunter2",
    "[user:hunter2]:1080",
    "127.0.0.1:9050@user:hunter2",
    "socks5://proxy@user:hunter2",
    "user:hunter2",
    "socks5 127.0.0.1 1080 user hunter2",
    "127.0.0.1,1080,user,hunter2",
    "127.0.0.1/1080/user/hunter2",
    "socks5://127.0.0.1:9050/user/hunter2",
    "socks5://127.0.0.1:9050?user=user&password=hunter2",
    "socks5://127.0.0.1:9050#hunter2",
    # the right form with a mistake in it
    " socks5://user:hunter2@proxy:1080",
    "user:hunter2@proxy:1080\n",
    "http://user:hunter2@proxy:1080",
    "user:hunter2://proxy:1080",
    "socks5://user:hunter2@",
    "user:hunter2@:1080",
    "user:hunter2@proxy:port",
    "user:hunter2@proxy:99999",
    "user:hunter2@pro xy",
    "user:hunter2@[proxy]",
    "user:hunter2@b\u00fc\u2044cher",
    "user:p/a@ss/hunter2@proxy?x",
    "hunter2@proxy",
    "user:@hunter2:1:2",
    ":hunter2@proxy",
    "user:hunter2%ff@proxy",
    "hunter2%ff:x@proxy",
    "user:hunter2\udcff@proxy",  # what a variable holds that is not UTF-8
    "user:" + 60 * "hunter2" + "@proxy",
    "unix://user:hunter2@/x",
    "unix://user:hunter2",
    "unix:user:hunter2@/x",
    "UNIX:user:hunter2@/x",
    "unix:/hunter2\0",
]


@pytest.mark.parametrize("text", MISTAKES, ids=ascii)
def test_a_refused_address_is_quoted_nowhere(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        parse_proxy(text)
    assert places_of("hunter2", caught.value) == []


@given(
    st.permutations(["127.0.0.1", "9050", "user", "hunter2"]),
    st.lists(
        st.sampled_from([":", "@", " ", "/", "//", "://", "|", ";", ",", "?", "#", "%", "\t"]), min_size=3, max_size=3
    ),
    st.sampled_from(["", "socks5://", "socks5h:", "http://", "unix:", "["]),
)
def test_no_order_of_the_parts_and_no_separator_makes_an_error_quote_the_password(
    parts: list[str], separators: list[str], prefix: str
) -> None:
    text = prefix + "".join(part + separator for part, separator in zip(parts, [*separators, ""], strict=True))
    refusal: Exception | None = None
    try:
        parse_proxy(text)
    except ValueError as error:
        refusal = error
    # A word alone before "://" is a scheme, which is quoted.
    assert refusal is None or "hunter2://" in text or places_of("hunter2", refusal) == []


@pytest.mark.parametrize("text", ["user@name:hunter2@proxy:1", "socks5://user:hunter2/with/slashes@proxy:1"])
def test_an_unescaped_separator_in_the_credentials_stays_in_them(text: str) -> None:
    uri, auth = parse_proxy(text)

    assert (uri.host, uri.port) == ("proxy", 1)
    assert auth is not None
    assert "hunter2" in auth.password
    assert "hunter2" not in f"{uri} {uri!r} {auth} {auth!r}"
