from __future__ import annotations

import pytest
from anyio.abc import ByteStream

from ziggurat.layers import Socks5Layer
from ziggurat.layers.environment import proxy_from_environment
from ziggurat.layers.testing import check_layer, stream_pair
from ziggurat.services.dial import dial
from ziggurat.services.errors import RouteRefused
from ziggurat.services.stream import DialAttribute
from ziggurat.services.uri import Uri

SOCKS = "socks5://127.0.0.1:9050"


class Leaf:
    """A connector that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Uri] = []

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self.asked.append(uri)
        with dial(uri) as current:
            return current.established(stream_pair()[0])


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(proxy_from_environment({"ALL_PROXY": SOCKS, "NO_PROXY": "*"}), transparent=True)


@pytest.mark.parametrize(
    ("environ", "target", "rule", "via"),
    [
        ({}, "https://a.example", "no proxy variable is set", "direct"),
        ({"NO_PROXY": "b"}, "https://a.example", "no proxy variable is set", "direct"),
        ({"HTTPS_PROXY": SOCKS}, "https://a.example", "HTTPS_PROXY", SOCKS),
        ({"https_proxy": SOCKS, "HTTPS_PROXY": "http://b"}, "https://a.example", "https_proxy", SOCKS),
        ({"ALL_PROXY": SOCKS, "http_proxy": "http://b"}, "tcp://a.example:1", "ALL_PROXY", SOCKS),
        ({"GRPC_PROXY": SOCKS, "https_proxy": "http://b"}, "https://a.example", "GRPC_PROXY", SOCKS),
        ({"HTTPS_PROXY": SOCKS, "NO_PROXY": ".example"}, "https://a.example", "NO_PROXY (.example)", "direct"),
        (
            {"ALL_PROXY": SOCKS, "no_grpc_proxy": "a.example:443"},
            "https://a.example",
            "no_grpc_proxy (a.example:443)",
            "direct",
        ),
        ({"ALL_PROXY": SOCKS, "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", "NO_PROXY (10.0.0.0/8)", "direct"),
        ({"ALL_PROXY": SOCKS}, "http://localhost", "the target is on this machine", "direct"),
        ({"ALL_PROXY": SOCKS}, "http://[::1]:50051", "the target is on this machine", "direct"),
        ({"ALL_PROXY": SOCKS}, "unix:/run/x", "the target is on this machine", "direct"),
        # httpx #1082: text without a scheme is an HTTP proxy, as in curl and Go.
        ({"ALL_PROXY": "127.0.0.1:7890"}, "http://a.example", "ALL_PROXY", "http://127.0.0.1:7890"),
        ({"ALL_PROXY": " proxy.corp:3128 "}, "http://a.example", "ALL_PROXY", "http://proxy.corp:3128"),
        ({"ALL_PROXY": "u:secret@proxy.corp:1"}, "http://a.example", "ALL_PROXY", "http://***@proxy.corp:1"),
        ({"ALL_PROXY": "unix:/run/tor"}, "http://a.example", "ALL_PROXY", "unix:/run/tor"),
        (
            {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil"},
            "http://a.example",
            "no proxy variable is set",
            "direct",
        ),
    ],
)
def test_where_a_target_goes(environ: dict[str, str], target: str, rule: str, via: str) -> None:
    decision = proxy_from_environment(environ).decide(Uri.parse(target))

    assert (decision.rule, decision.via) == (rule, via)
    assert decision.way == ("direct" if via == "direct" else "proxy")


@pytest.mark.parametrize(
    ("environ", "target", "reason"),
    [
        ({"HTTPS_PROXY": SOCKS}, "http://a.example", "HTTPS_PROXY is set, but no proxy for http targets"),
        ({"http_proxy": SOCKS}, "https://a.example", "http_proxy is set, but no proxy for https targets"),
        (
            {"HTTPS_PROXY": SOCKS, "http_proxy": SOCKS},
            "tcp://a.example:1",
            "HTTPS_PROXY and http_proxy are set, but no proxy for tcp targets",
        ),
    ],
)
async def test_once_a_proxy_is_set_what_has_none_is_refused(environ: dict[str, str], target: str, reason: str) -> None:
    leaf = Leaf()

    with pytest.raises(RouteRefused) as caught:
        await proxy_from_environment(environ).layer(leaf)(Uri.parse(target))

    assert caught.value.message == reason
    assert caught.value.hint == "set GRPC_PROXY or ALL_PROXY, or add a.example to NO_PROXY to dial it directly"
    assert leaf.asked == []


async def test_a_dial_takes_the_way_of_its_target_and_the_ledger_says_which() -> None:
    leaf = Leaf()
    stack = proxy_from_environment({"ALL_PROXY": SOCKS, "NO_PROXY": "near.example"}).layer(leaf)

    stream = await stack(Uri.parse("http://near.example"))

    assert leaf.asked == [Uri.parse("http://near.example")]
    assert stream.extra(DialAttribute.ledger).phases[0].note == "NO_PROXY (near.example): direct"
    await stream.aclose()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"ALL_PROXY": "socks://127.0.0.1:7890/"},
            r"ALL_PROXY: unknown proxy scheme 'socks' \(write socks5",
        ),
        ({"https_proxy": "ftp://proxy"}, "https_proxy: unknown proxy scheme 'ftp'; expected http, https, socks4"),
        ({"GRPC_PROXY": "socks5://proxy:0"}, "GRPC_PROXY: bad port"),
        ({"HTTP_PROXY": "socks5://"}, "HTTP_PROXY: bad host"),
    ],
)
def test_a_variable_without_a_valid_proxy_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        proxy_from_environment(environ)


def test_a_variable_that_is_not_obeyed_is_not_checked_either() -> None:
    layer = proxy_from_environment({"REQUEST_METHOD": "GET", "HTTP_PROXY": "ftp://evil"})

    assert layer.ignored == ("HTTP_PROXY",)


def test_a_password_is_neither_shown_nor_in_an_error() -> None:
    layer = proxy_from_environment({"ALL_PROXY": "socks5://u:secret@proxy"})

    assert "secret" not in repr(layer)
    assert "secret" not in repr(layer.layer(Leaf()))
    with pytest.raises(ValueError, match="bad port") as caught:
        proxy_from_environment({"ALL_PROXY": "socks5://u:secret@proxy:x"})
    assert "secret" not in str(caught.value)


def test_it_is_a_snapshot_that_can_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PROXY", SOCKS)
    monkeypatch.setenv("NO_PROXY", "b.example")
    monkeypatch.delenv("no_proxy", raising=False)
    layer = proxy_from_environment()
    monkeypatch.delenv("GRPC_PROXY")

    assert dict(layer.proxies) == {"GRPC_PROXY": SOCKS}
    assert layer.decide(Uri.parse("http://a.example")).layers == (Socks5Layer(SOCKS),)
    assert layer == proxy_from_environment({"GRPC_PROXY": SOCKS, "NO_PROXY": "b.example"}) != proxy_from_environment({})
    assert hash(layer) == hash(proxy_from_environment({"GRPC_PROXY": SOCKS, "NO_PROXY": "b.example"}))


def test_items_of_the_list_that_make_no_sense_are_kept_for_the_reader() -> None:
    assert proxy_from_environment({"NO_PROXY": "a,10.*"}).no_proxy_ignored == ("10.*",)
