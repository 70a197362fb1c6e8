"""The table of what other programs were reported to get wrong, or do in another way."""

from __future__ import annotations

import pytest

from ziggurat.services.no_proxy import NoProxy
from ziggurat.services.uri import Uri

GO = (
    "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, "
    "2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64"
)
"""The list of the tests of golang.org/x/net/http/httpproxy."""


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("[::2]", False),
        ("192.168.1.1", True),
        ("192.168.1.2", False),  # another port
        ("192.168.1.3", True),  # this port
        ("192.168.1.4", False),
        ("10.0.0.2", True),
        ("[2001:db8::52:0:1]", True),
        ("[2001:db8::52:0:2]", False),
        ("[2001:db8::52:0:3]", True),
        ("[2002:db8:a::123]", True),
        ("[fe80::424b:c8be:1643:a1b6]", False),
        ("barbaz.net", True),  # Go: False; curl: True
        ("www.barbaz.net", True),
        ("foobar.com", True),
        ("www.foobar.com", True),
        ("foofoobar.com", False),
        ("baz.com", False),
        ("localhost.net", False),
        ("barbarbaz.net", False),
        ("wildcard.io", False),
        ("nested.wildcard.io", True),
        ("awildcard.io", False),
    ],
)
def test_gos_own_cases(host: str, listed: bool) -> None:
    assert (NoProxy(GO).match(Uri.parse(f"http://{host}:80")) is not None) is listed


@pytest.mark.parametrize(
    ("text", "host", "listed"),
    [
        # curl's own cases (its unit test 1614), with the regressions of 7.86.0 and later.
        ("localhost,.example.com,.example.de", "www.example.com", True),
        ("localhost,.example.com,.example.de", "www.example.com.", True),  # curl #9821
        ("localhost,.example.com,.example.de", "example.com", True),
        ("localhost,.example.com.,.example.de", "www.example.com", True),
        ("localhost,example.com,.example.de", "www.example.com", True),  # curl #9842
        ("127.0.0.1,localhost", "127.0.0.1", True),  # curl #9813
        ("127.0.0.1,localhost,", "127.0.0.1", True),
        ("127.0.0.1/28,localhost,", "127.0.0.1", True),
        ("barfoo", "foobar", False),
        ("192.168.0.0/16", "192.168.0.1", True),
        ("192.168.0.0/32", "192.168.0.1", False),
        ("192.168.0.0", "192.168.0.1", False),
        ("foo, bar, 192.168.0.0/24", "192.168.1.1", False),
        ("foo, bar, ::1/64", "[::1]", True),  # curl #19828
        ("foo,,,,,              bar, ::1/64", "BAr", True),
        ("foo, .example.com", "www.example.com", True),
        (".example.com, .example.net", "nonexample.com", False),
        ("0.0.0.0/0", "192.0.2.1", True),  # curl #20306
        ("::/0", "[2001:db8::1]", True),
        ("0.0.0.0/0", "api.example", False),  # a name is not resolved
        ("foo bar", "bar", True),  # white space alone separates
        # grpc-node #3039, grpc-core: the end of a name is not a domain.
        ("local.com,apple.com", "pineapple.com", False),
        # httpx #2660, #3221, basic-memory #1541: IPv6 with and without brackets, and networks of it.
        ("::1", "[::1]", True),
        ("[::1]", "[::1]", True),
        ("0:0:0:0:0:0:0:1", "[::1]", True),  # curl KNOWN_BUGS #5745: compared as text
        ("localhost,127.0.0.0/8,::1/128", "[::1]", True),
        ("fe11::/16", "[fe11::7]", True),
        ("[fe11::]/16", "[fe11::7]", True),
        ("fe80::/10", "[fe80::1%25eth0]", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", True),
        # Go's CVE-2025-22870: a zone id is no domain.
        ("example.com", "[1000::%25.example.com]", False),
        ("*.example.com", "[1000::%25a.example.com]", False),
        # grpc-node #1293, moby #37946: wildcards.
        ("*.example.com", "foo.bar.example.com", True),
        ("*.example.com", "example.com", False),
        ("172.17.*,10.0.*", "172.17.0.8", False),
        ("*", "anything.example", True),
        ("*", "192.0.2.1", True),
        ("foo,*", "anything.example", True),  # curl: only "*" alone
        # Ports, which curl does not know.
        ("example.com:8080", "example.com", False),
        ("example.com:80", "www.example.com", True),
        (".example.com:80", "www.example.com", True),
        # Names that are not ASCII, on either side.
        (".\u793a\u4f8b.com", "www.\u793a\u4f8b.com", True),
        ("xn--fsq092h.com", "www.\u793a\u4f8b.com", True),
        ("\u793a\u4f8b.com", "www.xn--fsq092h.com", True),
        ("EXAMPLE.com", "example.COM", True),
        # What makes no sense.
        (":1", "example.com", False),
        (",", "example.com", False),
        (" ", "example.com", False),
        (".", "example.com", False),
        ("*.", "example.com", False),
        ("<local>", "example.com", False),
        ("http://example.com", "example.com", False),
        ("com/8", "example.com", False),
        ("10.0.0.0/8:80", "10.0.0.1", False),
        ("", "example.com", False),
    ],
)
def test_cases_from_reports(text: str, host: str, listed: bool) -> None:
    assert (NoProxy(text).match(Uri.parse(f"http://{host}:80")) is not None) is listed


def test_the_item_that_fits_is_named_as_it_was_written() -> None:
    listed = NoProxy("localhost , .Example.COM:443")

    assert listed.match(Uri.parse("https://a.example.com")) == ".Example.COM:443"
    assert listed.items == ("localhost", ".Example.COM:443")


def test_items_that_make_no_sense_are_kept_for_the_reader() -> None:
    assert NoProxy("example.com,192.168.*,<local>,a:b:c,").ignored == ("192.168.*", "<local>", "a:b:c")


def test_lists_of_the_same_text_are_equal() -> None:
    assert NoProxy("a,b") == NoProxy("a,b")
    assert repr(NoProxy("a,b")) == "NoProxy(text='a,b')"
