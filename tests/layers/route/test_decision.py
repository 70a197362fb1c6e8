from __future__ import annotations

from ziggurat.layers import TimeoutLayer
from ziggurat.layers.environment import proxy_from_environment
from ziggurat.layers.route import Decider, Decision, RouteLayer, Rule
from ziggurat.services.uri import Uri


def test_a_route_and_the_environment_decide_in_the_same_words() -> None:
    deciders: list[Decider] = [
        RouteLayer([Rule(via="socks5://proxy.test")]),
        proxy_from_environment({"ALL_PROXY": "socks5://proxy.test"}),
    ]
    decisions = [decider.decide(Uri.parse("http://a.example")) for decider in deciders]

    assert [(each.way, each.via, each.reason) for each in decisions] == [("proxy", "socks5://proxy.test", None)] * 2
    assert decisions[0].layers == decisions[1].layers != ()


def test_decisions_can_be_compared() -> None:
    assert Decision("stack", "a", "b", (TimeoutLayer(1.0),)) == Decision("stack", "a", "b", (TimeoutLayer(1.0),))
