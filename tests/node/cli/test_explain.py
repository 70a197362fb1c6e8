from __future__ import annotations

import pytest
from anyio.abc import ByteStream

from ziggurat.layers import proxy_layers
from ziggurat.layers.route import Decision, RouteLayer, Rule
from ziggurat.layers.testing import mock_connector
from ziggurat.node.cli.explain import Explanation, explain
from ziggurat.services.errors import ConnectError, ResolveError
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri


def explained(target: str, via: str | list[str]) -> Explanation:
    uri = Uri.parse(target)
    return explain(uri, RouteLayer([Rule(via=via)]).decide(uri), ["the stack"])


@pytest.mark.parametrize(
    ("target", "via", "resolves"),
    [
        ("http://a.example", "direct", [("a.example", "this machine")]),
        ("http://192.0.2.1", "direct", []),
        ("unix:/run/x", "direct", []),
        ("http://a.example", "socks5://127.0.0.1", [("a.example", "the proxy 127.0.0.1:1080")]),
        (
            "http://a.example",
            "http://proxy.corp:443",
            [("a.example", "the proxy proxy.corp:443"), ("proxy.corp", "this machine")],
        ),
        ("http://192.0.2.1", "socks5://proxy.corp", [("proxy.corp", "this machine")]),
        ("http://192.0.2.1", "unix:/run/tor", []),
        (
            "https://a.example",
            ["socks5://near.test", "https://far.test"],
            [
                ("a.example", "the proxy far.test:443"),
                ("far.test", "the proxy near.test:1080"),
                ("near.test", "this machine"),
            ],
        ),
        ("https://a.example", "socks4a://192.0.2.9", [("a.example", "the proxy 192.0.2.9:1080")]),
    ],
)
def test_who_resolves_which_name(target: str, via: str | list[str], resolves: list[tuple[str, str]]) -> None:
    result = explained(target, via)

    assert list(result.resolves) == resolves
    assert result.ok


@pytest.mark.parametrize(
    ("target", "via", "refusal"),
    [
        ("http://a.example", "refuse", "refused by rule 1 (any target)"),
        ("http://a.example", "socks4://192.0.2.9", "plain SOCKS4 takes no name (a.example); write socks4a://"),
        ("http://[2001:db8::1]", "socks4://192.0.2.9", "plain SOCKS4 takes no IPv6 address (2001:db8::1)"),
        ("http://192.0.2.1", ["socks4://192.0.2.9", "http://far.test"], "plain SOCKS4 takes no name (far.test)"),
        ("http://abc.onion", "direct", "no DNS knows abc.onion, and none is asked (RFC 7686)"),
        ("http://a.example", ["socks5://abc.onion", "socks5://far.test"], "no DNS knows abc.onion"),
        ("unix-abstract:x", "socks5://127.0.0.1", "no proxy reaches a unix socket (unix-abstract:x)"),
        ("unix:/run/x", "socks5://127.0.0.1", "no proxy reaches a unix socket (unix:/run/x)"),
        ("http://[fe80::1%25eth0]", "http://127.0.0.1", "a zone id means nothing to a proxy (fe80::1%eth0)"),
    ],
)
def test_what_is_refused_before_anything_is_dialled(target: str, via: str | list[str], refusal: str) -> None:
    result = explained(target, via)

    assert not result.ok
    assert (result.refusal or "").startswith(refusal)
    assert result.resolves == ()


@pytest.mark.parametrize(
    ("target", "via"),
    [
        ("http://a.example", "refuse"),
        ("http://a.example", "socks4://192.0.2.9"),
        ("http://a.example", "socks4a://192.0.2.9"),
        ("http://192.0.2.1", "socks4://192.0.2.9"),
        ("http://[2001:db8::1]", "socks4a://192.0.2.9"),
        ("http://[2001:db8::1]", "socks4://192.0.2.9"),
        ("http://[2001:db8::1]", "socks5://192.0.2.9"),
        ("http://[2001:db8::1]", "http://192.0.2.9"),
        ("http://192.0.2.1", ["socks5://127.0.0.1", "socks4://far.test"]),
        ("http://[fe80::1%25eth0]", "http://127.0.0.1"),
        ("http://[fe80::1%25eth0]", "socks5://127.0.0.1"),
        ("http://[fe80::1%25eth0]", "direct"),
        ("unix:/run/x", "socks5://127.0.0.1"),
        ("unix:/run/x", "socks4a://127.0.0.1"),
        ("unix:/run/x", "http://127.0.0.1"),
        ("unix:/run/x", "direct"),
    ],
)
async def test_what_it_says_is_what_a_dial_does(target: str, via: str | list[str]) -> None:
    """The real layers, over a leaf that counts: a dial that would be refused never gets there, any other does."""
    asked: list[Uri] = []

    async def leaf(uri: Uri, /) -> ByteStream:
        asked.append(uri)
        raise ConnectError("as far as this")

    with pytest.raises(ConnectError) as caught:
        await RouteLayer([Rule(via=via)]).layer(leaf)(Uri.parse(target))

    assert explained(target, via).ok == (len(asked) == 1) == (caught.value.message == "as far as this")


@pytest.mark.parametrize("via", ["direct", "socks5://abc.onion"])
async def test_an_onion_name_is_not_resolved_here_either(via: str) -> None:
    with pytest.raises(ResolveError, match="onion services have no address"):
        await RouteLayer([Rule(via=via)]).layer(TcpConnector())(Uri.parse("http://abc.onion"))

    assert not explained("http://abc.onion", via).ok


def test_a_target_that_no_rule_fits_is_refused_with_the_hint() -> None:
    uri = Uri.parse("http://a.example")
    result = explain(uri, RouteLayer([Rule(port=443, via="direct")]).decide(uri), [])

    assert result.refusal == "no rule of the route fits; add a rule for it, or one without conditions"


@pytest.mark.parametrize(
    ("target", "via", "problem"),
    [
        ("https://abc.onion", "http://127.0.0.1", "an onion service is reached only if the proxy passes it to Tor"),
        ("http://localhost", "socks5://127.0.0.1", "localhost is the proxy's own machine there, not this one"),
        ("http://10.0.0.1", "socks5://proxy.corp", "10.0.0.1 is in the proxy's network there"),
        ("http://a.example:50051", "http://127.0.0.1:3128", "127.0.0.1:3128 may refuse port 50051"),
        ("http://[2001:db8::1]", "socks4a://127.0.0.1", "few SOCKS4 proxies take an IPv6 address (2001:db8::1)"),
        ("https://a.example", "http://u:p@proxy.corp:3128", "the password for proxy.corp:3128 is sent unencrypted"),
        ("https://a.example", "socks5://u:p@proxy.corp", "the password for proxy.corp:1080 is sent unencrypted"),
    ],
)
def test_what_would_or_may_go_wrong(target: str, via: str, problem: str) -> None:
    result = explained(target, via)

    assert result.ok
    assert [line for line in result.problems if line.startswith(problem)]


@pytest.mark.parametrize(
    ("target", "via"),
    [
        ("http://a.example", "direct"),
        ("http://abc.onion", "socks5://127.0.0.1:9050"),
        ("https://a.example", "https://u:p@proxy.corp"),
        ("https://a.example", "http://u:p@10.0.0.1:3128"),
        ("https://a.example", "socks5://u:p@127.0.0.1"),
    ],
)
def test_nothing_is_wrong(target: str, via: str) -> None:
    assert explained(target, via).problems == ()


def test_of_a_connector_of_the_users_nothing_is_known() -> None:
    connector, _ = mock_connector()
    uri = Uri.parse("http://a.example")
    result = explain(uri, RouteLayer([Rule(via=connector)]).decide(uri), ["x"])

    assert (result.ok, result.resolves, result.problems) == (True, (), ())


def test_known_problems_come_first() -> None:
    uri = Uri.parse("http://10.0.0.1")
    decision = Decision("proxy", "r", "v", proxy_layers("socks5://proxy.corp"))

    assert explain(uri, decision, [], ["known"]).problems[0] == "known"
    assert explain(uri, decision, []).classes == ("ipv4", "private")
