"""What layers say about their places, alone and through `Endpoint.describe`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.layers.scripted import Leaf
from ziggurat.layers import (
    Balance,
    ConcurrencyLimitLayer,
    KeepAliveLayer,
    Place,
    Race,
    RetryLayer,
    RouteLayer,
    Rule,
    ServiceBuilder,
    Socks5Layer,
    Steer,
    TimeoutLayer,
    TlsLayer,
    TokenBucket,
    proxy_from_environment,
)
from ziggurat.layers.place import is_proxy, stack_remarks
from ziggurat.services import Connector, Endpoint, Remark, TcpConnector, Uri

TARGET = Uri.parse("https://api.example")
SOCKS = ServiceBuilder().socks5("proxy.corp:1080")
TCP = TcpConnector()


def warnings(builder: ServiceBuilder, target: Uri = TARGET) -> list[str]:
    return [remark.text for remark in builder.service(TCP).remarks(target) if remark.warning]


def meanings(builder: ServiceBuilder) -> list[str]:
    return [remark.text for remark in builder.service(TCP).remarks(TARGET) if not remark.warning]


def test_tls_below_the_proxy_is_with_the_proxy() -> None:
    (text,) = warnings(SOCKS.tls())
    assert text == (
        "will fail: TlsLayer stands below Socks5Layer, so TLS is with the proxy proxy.corp:1080 and not with "
        "api.example; for TLS with the target, inside the tunnel, put it above Socks5Layer"
    )


@pytest.mark.parametrize(
    "builder",
    [
        ServiceBuilder().tls().socks5("proxy.corp:1080"),
        ServiceBuilder().tls().socks5("proxy.corp:1080").tls(alpn=()),  # to the proxy, on purpose
        ServiceBuilder().tls(),
        ServiceBuilder().tls().socks5("a:1").keepalive(10.0),
    ],
)
def test_a_sound_order_has_no_remark(builder: ServiceBuilder) -> None:
    assert warnings(builder) == meanings(builder) == []


def test_tls_to_the_proxy_alone_is_sound_for_a_target_without_tls() -> None:
    assert warnings(SOCKS.tls(alpn=()), Uri.parse("http://api.example")) == []


def test_keepalive_above_a_handshake_begins_late() -> None:
    (text,) = warnings(ServiceBuilder().keepalive(10.0).tls().socks5("a:1"))
    assert text.startswith("late: KeepAliveLayer stands above TlsLayer and Socks5Layer")
    assert text.endswith("put it below")


def test_a_timeout_says_which_attempts_it_is_for() -> None:
    assert meanings(ServiceBuilder().timeout(60.0, name="all").retry().timeout(5.0)) == [
        "TimeoutLayer > RetryLayer: the 60 s of all are for all attempts and the waits between them",
        "RetryLayer > TimeoutLayer: the 5 s of TimeoutLayer are for each attempt",
    ]


def test_a_limit_says_what_becomes_of_its_permits() -> None:
    assert meanings(ServiceBuilder().concurrency_limit(3).retry()) == [
        "ConcurrencyLimitLayer > RetryLayer: a dial takes one permit for all attempts, and holds it during the waits "
        "between them"
    ]
    assert meanings(ServiceBuilder().retry().concurrency_limit(3)) == [
        "RetryLayer > ConcurrencyLimitLayer: each attempt takes a permit, and none is held during the waits between "
        "them"
    ]
    (text,) = meanings(ServiceBuilder().retry().concurrency_limit(3, mode="reject"))
    assert text.endswith("; one that is rejected counts as a failed attempt")


def test_a_rate_says_what_it_counts() -> None:
    rate = TokenBucket(10.0)
    assert meanings(ServiceBuilder().rate_limit(rate).retry()) == [
        "RateLimitLayer > RetryLayer: a dial counts once, however many attempts it makes, so that more may go out than "
        "the rate says"
    ]
    assert meanings(ServiceBuilder().retry().rate_limit(rate)) == [
        "RetryLayer > RateLimitLayer: each attempt counts, and waits for its turn"
    ]
    (text,) = meanings(ServiceBuilder().retry().rate_limit(rate, mode="reject"))
    assert text.endswith("one that is rejected counts as a failed attempt")


def test_a_routes_proxy_counts_for_the_targets_that_take_it() -> None:
    routes = ServiceBuilder().layer(
        RouteLayer([Rule(via="socks5://gate.corp:1080", suffix=".example"), Rule(via="direct")])
    )
    (text,) = warnings(routes.tls())
    assert "TlsLayer stands below Socks5Layer, so TLS is with the proxy gate.corp:1080" in text
    assert warnings(routes.tls(), Uri.parse("https://other.test")) == []
    environment = proxy_from_environment({"HTTPS_PROXY": "http://gate.corp:3128", "NO_PROXY": "other.test"})
    assert "stands below HttpConnectLayer" in warnings(ServiceBuilder().layer(environment).tls())[0]
    assert warnings(ServiceBuilder().layer(environment).tls(), Uri.parse("https://other.test")) == []


def test_describe_prints_meanings_and_warnings_apart() -> None:
    text = Endpoint("https://api.example").describe(SOCKS.retry().timeout(5.0).tls().service(TCP))
    order, _, rest = text.partition("what the order means:\n")[2].partition("warnings:\n")
    assert order == "  RetryLayer > TimeoutLayer: the 5 s of TimeoutLayer are for each attempt\n"
    assert rest.splitlines()[0].startswith("  will fail: TlsLayer stands below Socks5Layer")


def test_stacks_inside_a_balance_or_a_steer_are_told_apart_by_key() -> None:
    wrong = SOCKS.tls().service(TCP)
    several = {"a": wrong, "b": Leaf()}
    for connector in (Balance(several), Steer(several, lambda uri: "a"), Race(several)):
        (remark,) = connector.remarks(TARGET)
        assert remark.text.startswith("a: will fail: TlsLayer stands below")
        (remark,) = ServiceBuilder().timeout(1.0).service(connector).remarks(TARGET)
        assert remark.text.startswith("a: will fail")


class Curious:
    """A user's layer that looks at its place."""

    def layer(self, inner: Connector, /) -> Connector:
        return inner

    def remarks(self, place: Place, /) -> Iterator[Remark]:
        above = [type(layer).__name__ for layer in place.has_above(TimeoutLayer)]
        below = [type(layer).__name__ for layer in place.has_below(KeepAliveLayer)]
        yield Remark(f"{above} {below} {place.target.host} {place.leaf is TCP}")


def test_a_layer_of_the_users_may_remark_too() -> None:
    builder = ServiceBuilder().timeout(1.0).layer(Curious()).no_delay().keepalive(1.0)
    assert warnings(builder) == ["['TimeoutLayer'] ['KeepAliveLayer'] api.example True"]


def test_a_layer_of_the_users_with_a_proxy_counts_as_one() -> None:
    class Mine:
        proxy = Uri.parse("tcp://gate.corp:9")

        def layer(self, inner: Connector, /) -> Connector:
            return inner

    class Other(Mine):
        proxy = "gate.corp"  # type: ignore[assignment]

    assert is_proxy(Mine())
    assert is_proxy(Socks5Layer("a:1"))
    assert not is_proxy(Other())
    assert "with the proxy gate.corp:9 and not" in warnings(ServiceBuilder().layer(Mine()).tls())[0]


def test_layers_are_told_their_places_only() -> None:
    layers = (TimeoutLayer(1.0), RetryLayer(), ConcurrencyLimitLayer(1), TlsLayer())
    assert len(stack_remarks(layers, TCP, TARGET)) == 2
    assert stack_remarks((), TCP, TARGET) == []
