"""The client's key, for the SOCKS5 proxies of a way."""

from __future__ import annotations

from ziggurat.layers import (
    HttpConnectLayer,
    Isolated,
    RouteLayer,
    Rule,
    Socks5Layer,
    UserPass,
    proxy_from_environment,
    proxy_layers,
)
from ziggurat.layers.forward import client_key
from ziggurat.layers.forward.isolation import isolate_clients
from ziggurat.layers.layer import Layer
from ziggurat.services import Uri

TARGET = Uri("tcp", "a.test", 80)
KEYED = Isolated(key=client_key, required=False)


def auths(layers: tuple[Layer, ...]) -> list[object]:
    return [layer.auth for layer in layers if isinstance(layer, Socks5Layer)]


def test_a_proxy_without_credentials_gets_them_and_keeps_its_other_settings() -> None:
    plain = Socks5Layer("p:1", connect_timeout=7.0, handshake_timeout=3.0, pipeline="auth", literals="domain")
    (changed,) = isolate_clients([plain])
    assert changed == Socks5Layer(
        "p:1", auth=KEYED, connect_timeout=7.0, handshake_timeout=3.0, pipeline="auth", literals="domain"
    )


def test_one_with_credentials_and_other_layers_stay() -> None:
    layers = (Socks5Layer("p:1", auth=UserPass("a", "b")), HttpConnectLayer("http://p:2"))
    assert isolate_clients(layers) == layers


def test_the_rules_of_a_route() -> None:
    chain = ("socks5://first:1", "socks5://u:p@second:2")
    route = RouteLayer([Rule(via=chain, suffix="test", name="mine"), Rule(via="direct"), Rule(via="refuse")])
    isolated = route.map_layers(isolate_clients)
    decision = isolated.decide(TARGET)
    assert auths(decision.layers) == [UserPass("u", "p"), KEYED]
    assert (decision.rule, decision.via) == (route.decide(TARGET).rule, route.decide(TARGET).via)
    assert [rule.way for rule in isolated.rules] == ["proxy", "direct", "refuse"]
    assert auths(route.decide(TARGET).layers) == [UserPass("u", "p"), None]


def test_the_proxies_of_the_environment() -> None:
    environment = proxy_from_environment({"ALL_PROXY": "socks5://p:1", "NO_PROXY": "b.test"})
    isolated = environment.map_layers(isolate_clients)
    assert auths(isolated.decide(TARGET).layers) == [KEYED]
    assert isolated.decide(Uri("tcp", "b.test", 1)).way == "direct"
    assert auths(environment.decide(TARGET).layers) == [None]
    assert auths(proxy_layers("socks5://p:1")) == [None]
