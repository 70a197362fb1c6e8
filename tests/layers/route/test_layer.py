from __future__ import annotations

import logging

import pytest
from anyio.abc import ByteStream

from ziggurat.layers import ServiceBuilder, Socks5Layer
from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.route import RouteLayer, Rule
from ziggurat.layers.testing import check_layer, stream_pair
from ziggurat.services import silently_direct
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError, RouteRefused
from ziggurat.services.stream import DialAttribute
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

ROUTE = RouteLayer(
    [
        Rule(suffix=".onion", via="socks5://127.0.0.1:9050"),
        Rule(class_="private", via="refuse", name="no intranet"),
        Rule(scheme="tcp", via="refuse"),
        Rule(suffix="example", via="direct"),
    ]
)


class Leaf:
    """A connector that notes what it is asked for, and answers with a stream or an error."""

    def __init__(self, error: ConnectError | None = None) -> None:
        self.asked: list[Uri] = []
        self._error = error

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self.asked.append(uri)
        with dial(uri) as current:
            if self._error is not None:
                raise self._error
            return current.established(stream_pair()[0])


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(ROUTE, transparent=True)


async def test_a_way_that_is_a_stack_keeps_them_too() -> None:
    await check_layer(RouteLayer([Rule(via=ConcurrencyLimitLayer(1))]), transparent=True)


@pytest.mark.parametrize(
    ("target", "way", "rule"),
    [
        ("http://abc.onion", "proxy", "rule 1 (suffix onion)"),
        ("http://10.0.0.1", "refuse", "no intranet"),
        ("tcp://a.example:1", "refuse", "rule 3 (scheme tcp)"),
        ("http://a.example", "direct", "rule 4 (suffix example)"),
        ("http://a.test", "refuse", None),
    ],
)
def test_the_first_rule_that_fits_decides(target: str, way: str, rule: str | None) -> None:
    decision = ROUTE.decide(Uri.parse(target))

    assert (decision.way, decision.rule) == (way, rule)


async def test_a_dial_takes_its_way_and_the_ledger_says_which() -> None:
    leaf = Leaf()
    target = Uri.parse("http://a.example")

    stream = await ROUTE.layer(leaf)(target)

    assert leaf.asked == [target]
    (entry, *_) = stream.extra(DialAttribute.ledger).phases
    assert (entry.name, entry.note, entry.outcome) == ("route", "rule 4 (suffix example): direct", "ok")
    await stream.aclose()


async def test_through_a_proxy_only_the_proxy_is_dialled() -> None:
    leaf = Leaf(ConnectError("no proxy here"))

    with pytest.raises(ConnectError, match="no proxy here"):
        await ROUTE.layer(leaf)(Uri.parse("http://abc.onion"))

    assert leaf.asked == [Uri("socks5", "127.0.0.1", 9050)]


@pytest.mark.parametrize(
    ("target", "line", "rule"),
    [
        ("http://10.0.0.1", "http://10.0.0.1:80: route failed after 0.00 s: refused by no intranet", "no intranet"),
        (
            "http://a.test",
            "http://a.test:80: route failed after 0.00 s: no rule of the route fits; add a rule for it, or one without "
            "conditions",
            None,
        ),
    ],
)
async def test_a_refused_dial_reaches_nothing(target: str, line: str, rule: str | None) -> None:
    leaf = Leaf()

    with pytest.raises(RouteRefused) as caught:
        await ROUTE.layer(leaf)(Uri.parse(target))

    assert str(caught.value) == line
    assert (caught.value.rule, caught.value.phase, caught.value.transient) == (rule, "route", False)
    assert not caught.value.sent_to_target
    assert leaf.asked == []


async def test_a_connector_of_its_own_takes_the_place_of_the_one_below() -> None:
    below, own = Leaf(), Leaf()

    stream = await RouteLayer([Rule(via=own)]).layer(below)(Uri.parse("http://a.example"))

    assert (len(own.asked), below.asked) == (1, [])
    await stream.aclose()


async def test_the_state_of_a_way_lasts_from_dial_to_dial() -> None:
    layer = ConcurrencyLimitLayer(1, mode="reject", hold="stream")
    stack = RouteLayer([Rule(port=80, via=layer), Rule(via=layer)]).layer(Leaf())

    first = await stack(Uri.parse("http://a.example"))
    with pytest.raises(ConnectError, match="permits in use"):
        await stack(Uri.parse("http://a.example"))
    other = await stack(Uri.parse("https://a.example"))  # another rule has state of its own, with an equal layer

    await first.aclose()
    await other.aclose()


async def test_a_direct_route_is_direct_on_purpose(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_connection(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("ziggurat.services.tcp._open", no_connection)
    monkeypatch.setattr(silently_direct._Note, "said", False)
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    caplog.set_level(logging.WARNING, "ziggurat.services")

    with pytest.raises(ConnectError):
        await ServiceBuilder().route([Rule(via="direct")]).service(TcpConnector())(Uri.parse("http://192.0.2.1"))

    assert not caplog.messages


def test_wrong_rules() -> None:
    with pytest.raises(ValueError, match="a route without rules refuses everything"):
        RouteLayer([])
    with pytest.raises(TypeError, match="not of str"):
        RouteLayer(["direct"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a list of Rule"):
        RouteLayer(Rule(via="direct"))  # type: ignore[arg-type]


def test_routes_of_the_same_rules_are_equal_and_their_repr_has_no_secret() -> None:
    def route() -> RouteLayer:
        return RouteLayer([Rule(suffix=".onion", via="socks5://u:secret@proxy.test")])

    assert route() == route()
    assert hash(route()) == hash(route())
    assert "secret" not in repr(route())
    assert "secret" not in repr(route().layer(TcpConnector()))
    assert route().rules[0].layers == (Socks5Layer("socks5://u:secret@proxy.test"),)
