from __future__ import annotations

from ziggurat.layers.balance.load import PendingLoad
from ziggurat.layers.balance.member import Member
from ziggurat.layers.balance.refusal import none_usable
from ziggurat.services.backoff import Backoff
from ziggurat.services.errors import ConnectError
from ziggurat.services.tcp import TcpConnector


def member(key: str) -> Member:
    return Member(key, TcpConnector(), PendingLoad().meter())


def test_none_usable_names_the_next_to_be_tried() -> None:
    made = [member("a"), member("b")]
    for each, end in zip(made, (5.0, 3.0), strict=True):
        each.failed(each.ended(each.began(end)), end, ConnectError(f"no {each.key}"), Backoff(1.0, jitter=0.0))
    assert none_usable(made, 3.5, 0.0, None).message == (
        "all 2 endpoints have failed; b is tried again in 0.5 s, and failed with: no b"
    )
    made[1].began(4.0)
    assert "b is being tried, and failed with: no b" in none_usable(made, 4.5, 0.0, None).message


def test_none_usable_without_endpoints() -> None:
    assert str(none_usable([], 0.0, 0.0, None)) == "there are no endpoints"
    assert str(none_usable([], 0.0, 2.5, None)) == "there was no endpoint within 2.5 s"
