"""A Uri is valid, or a ValueError quotes what is wrong, but never a secret."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ziggurat.services import Uri
from ziggurat.services.uri import DEFAULT_PORTS, split_authority

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda n: not n.rpartition(".")[2].isdigit())
ZONES = st.one_of(st.just(""), st.from_regex(r"%[A-Za-z0-9._~-]{1,8}", fullmatch=True))
V6 = st.tuples(st.ip_addresses(v=6).map(str), ZONES).map("".join)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), V6)
TARGETS = st.builds(Uri, st.sampled_from(sorted(DEFAULT_PORTS)), HOSTS, st.integers(1, 65535))
PATHS = st.text(min_size=1).filter(lambda path: "\0" not in path)


@given(TARGETS)
def test_a_printed_uri_parses_to_the_same_uri(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri


@given(PATHS)
@example("//two")
@example("///three")
def test_any_printed_unix_path_parses_to_the_same_path(path: str) -> None:
    assert Uri.parse(str(Uri("unix", path=path))) == Uri("unix", path=path)


@given(TARGETS)
def test_the_parts_of_a_uri_make_the_same_uri(uri: Uri) -> None:
    assert Uri(uri.scheme, uri.host, uri.port) == uri
    assert split_authority(uri.authority) == (uri.host, uri.port)


@given(st.text())
def test_any_text_is_a_uri_or_a_one_line_value_error(text: str) -> None:
    for candidate in (text, f"http://{text}", f"http://host:{text}", f"unix:{text}"):
        try:
            uri = Uri.parse(candidate)
        except ValueError as error:
            problem = str(error)
        else:
            assert Uri.parse(str(uri)) == uri
            continue
        assert len(problem.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("http://h", 80),
        ("https://h", 443),
        ("socks5://h", 1080),
        ("socks5h://h", 1080),
        ("http://h:1", 1),
        ("tcp://h:9", 9),
    ],
)
def test_a_scheme_has_its_default_port(text: str, port: int) -> None:
    assert Uri.parse(text).port == port


def test_a_scheme_without_a_default_needs_a_port() -> None:
    with pytest.raises(ValueError, match="bad port"):
        Uri.parse("tcp://host")


@pytest.mark.parametrize(
    "port",
    ["0", "65536", "99999", "+1", "-1", " 80", "80 ", "80\n", "\uff18\uff10", "\u0668\u0660", "1e3", "0x50", "", "1_0"],
)
def test_a_bad_port_is_quoted(port: str) -> None:
    quoted = repr(int(port)) if port.isdecimal() and port.isascii() else repr(port)

    with pytest.raises(ValueError, match=re.escape(f"bad port: {quoted} (1 to 65535)")):
        Uri.parse(f"http://host:{port}")


@pytest.mark.parametrize("port", [0, -1, 65536, True, 80.0, "80", None])
def test_a_bad_port_is_refused_by_the_constructor_too(port: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"bad port: {port!r}")):
        Uri("http", "host", port)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com."),
        ("_grpc._tcp.example.com", "_grpc._tcp.example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("[::]", "::"),
        ("[fe80::1%25eth0]", "fe80::1%eth0"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("[FE80::1%25Eth0.7]", "fe80::1%Eth0.7"),
    ],
)
def test_a_host_is_normalised_once(host: str, normal: str) -> None:
    assert Uri.parse(f"http://{host}").host == normal
    assert Uri.parse(f"http://{host}:8080") == Uri("http", normal, 8080)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        ".a",
        "a b",
        " a",
        "a\n",
        "a\tb",
        "a\0b",
        "h%41",
        "*.example",
        "a,b",
        "::1",
        "fe80::1%25eth0",
        "[::1",
        "::1]",
        "[[::1]]",
        "[host]",
        "[127.0.0.1]",
        "[]",
        "[::g]",
        "[1::2::3]",
        "[fe80::1%25]",
        "[fe80::1%]",
        "[fe80::1%25a b]",
        "[::1]x",
        "host:",
        "host:1:2",
        "256.1.1.1",
        "127.1",
        "1.2.3.4.5",
        "0x7f.1",
        "\uff11\uff12\uff17.1",
        "a" * 256,
        "\ud800.example",
        "☃" * 70 + ".example",
    ],
)
def test_a_bad_host_is_refused_and_quoted(host: str) -> None:
    with pytest.raises(ValueError, match=r"^bad (host|port): ['\"]"):
        Uri.parse(f"http://{host}")


def test_an_ipv6_address_without_brackets_gets_a_hint_about_them() -> None:
    with pytest.raises(ValueError, match="needs brackets"):
        Uri.parse("http://2001:db8::1")


@pytest.mark.parametrize(
    "text", ["host", "host:80", "", "http:host", "http:/host", "://host", "//host", "localhost:16111"]
)
def test_a_missing_scheme_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        Uri.parse(text)


@pytest.mark.parametrize("scheme", ["ftp", "htttp", "h2c"])
def test_an_unknown_scheme_is_quoted_with_the_known_ones(scheme: str) -> None:
    with pytest.raises(ValueError, match=f"bad scheme: '{scheme}' .*http, https"):
        Uri.parse(f"{scheme}://host:1")
    with pytest.raises(ValueError, match=f"bad scheme: '{scheme}'"):
        Uri(scheme, "host", 1)


def test_the_case_of_the_scheme_does_not_matter() -> None:
    assert Uri.parse("HTTPS://h") == Uri("https", "h", 443)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@host:80",
        "http://hunter2@host",
        "http://user:hunter2@[::1]:80",
        "http://u:hunter2/@host",
        "http://u:h@hunter2@host",
        "nosuch://u:hunter2@host",
        "user:hunter2@host:80",
        "//user:hunter2@host",
        "socks5:user:hunter2@host",
    ],
)
def test_credentials_are_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Uri.parse(text)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("rest", ["/path", "//", "?q", "/?q=1", "#f", "/a/"])
def test_a_path_a_query_and_a_fragment_are_refused_and_quoted(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^unexpected .*: a target ends with its port$"):
        Uri.parse(f"http://host:80{rest}")


def test_one_slash_at_the_end_is_ignored() -> None:
    assert Uri.parse("http://host:80/") == Uri("http", "host", 80)


@pytest.mark.parametrize(
    ("text", "path"),
    [("unix:/run/s", "/run/s"), ("unix:///run/s", "/run/s"), ("unix:s.sock", "s.sock"), ("UNIX:/a b@c?", "/a b@c?")],
)
def test_a_unix_socket_is_its_path(text: str, path: str) -> None:
    assert Uri.parse(text) == Uri("unix", path=path)


@pytest.mark.parametrize("text", ["unix:", "unix://", "unix://host/path", "unix:a\0b"])
def test_a_unix_uri_without_a_path_or_with_a_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unix"):
        Uri.parse(text)


def test_unix_has_no_host_or_port_and_other_schemes_have_no_path() -> None:
    with pytest.raises(ValueError, match="'h'"):
        Uri("unix", "h", path="/s")
    with pytest.raises(ValueError, match="5"):
        Uri("unix", port=5, path="/s")
    with pytest.raises(ValueError, match="'/s'"):
        Uri("http", "h", 80, "/s")


@pytest.mark.parametrize(
    ("uri", "authority", "text"),
    [
        (Uri("http", "h", 80), "h:80", "http://h:80"),
        (Uri("http", "::1", 80), "[::1]:80", "http://[::1]:80"),
        (Uri("tcp", "fe80::1%eth0", 9), "[fe80::1%eth0]:9", "tcp://[fe80::1%25eth0]:9"),
        (Uri("unix", path="/s"), "unix:/s", "unix:/s"),
    ],
)
def test_authority_and_text_have_brackets_and_escape_zone_ids(uri: Uri, authority: str, text: str) -> None:
    assert (uri.authority, str(uri)) == (authority, text)


@pytest.mark.parametrize(
    ("host", "literal"), [("1.2.3.4", True), ("::1", True), ("fe80::1%eth0", True), ("a.b", False)]
)
def test_an_ip_literal_is_recognised(host: str, literal: bool) -> None:
    assert Uri("http", host, 80).is_literal is literal


def test_a_unix_uri_is_not_a_literal() -> None:
    assert not Uri("unix", path="/1.2.3.4").is_literal
    assert not Uri("unix-abstract", path="1.2.3.4").is_literal


@pytest.mark.parametrize("name", ["name", "/run/s", "a b@c?", "@name", "a:1", "%00"])
def test_an_abstract_socket_is_its_name(name: str) -> None:
    """As in gRPC's naming document; percent signs stand for themselves."""
    uri = Uri.parse(f"unix-abstract:{name}")

    assert uri == Uri("unix-abstract", path=name)
    assert (str(uri), uri.authority, uri.is_unix) == (f"unix-abstract:{name}",) * 2 + (True,)
    assert Uri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text", ["unix-abstract:", "unix-abstract:a\0b", "unix-abstract:\0a", "unix-abstract://host/a"]
)
def test_an_abstract_name_without_a_name_or_with_a_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unix-abstract"):
        Uri.parse(text)


def test_an_abstract_socket_has_no_host_or_port() -> None:
    with pytest.raises(ValueError, match="a unix-abstract Uri has no host or port"):
        Uri("unix-abstract", "h", path="s")


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("http://a.example", "a.example"),
        ("https://a.example:443", "a.example"),
        ("https://a.example:80", "a.example:80"),
        ("https://[::1]", "[::1]"),
        ("http://[fe80::1%25eth0]:81", "[fe80::1]:81"),
        ("tcp://a.example:53", "a.example:53"),
        ("unix:/run/s", "localhost"),
        ("unix-abstract:s", "localhost"),
    ],
)
def test_http_names_a_server_without_its_schemes_own_port_and_without_a_zone(text: str, authority: str) -> None:
    assert Uri.parse(text).http_authority == authority


def test_it_is_frozen_hashable_and_can_be_copied() -> None:
    uri = Uri.parse("http://[fe80::1%25eth0]:80")

    with pytest.raises(AttributeError):
        uri.port = 81  # type: ignore[misc]

    assert len({uri, copy.copy(uri), pickle.loads(pickle.dumps(uri))}) == 1
