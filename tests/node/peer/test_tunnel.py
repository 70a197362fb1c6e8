from __future__ import annotations

import pytest

from ziggurat.layers import HttpConnectLayer, Isolated, Socks5Layer, UserPass
from ziggurat.node.peer import isolation_of
from ziggurat.services import Uri, dial, phase

TARGET = Uri("http", "peer.example", 1)


@pytest.mark.parametrize(
    ("proxy", "phases", "isolation"),
    [
        (Socks5Layer("h", auth=Isolated()), ["proxy.greeting", "proxy.auth", "proxy.connect"], "dial"),
        (Socks5Layer("h", auth=Isolated(lambda uri: uri.host)), ["proxy.greeting", "proxy.auth"], "key"),
        # The proxy took none, the same for all, none at all, and a proxy that knows no isolation.
        (Socks5Layer("h", auth=Isolated(required=False)), ["proxy.greeting", "proxy.connect"], "none"),
        (Socks5Layer("h", auth=UserPass("u", "p")), ["proxy.greeting", "proxy.auth"], "none"),
        (Socks5Layer("h"), ["proxy.greeting", "proxy.connect"], "none"),
        (HttpConnectLayer("http://h:1"), ["proxy.connect"], "none"),
    ],
    ids=lambda value: "",
)
async def test_what_isolates_is_what_was_sent(proxy: object, phases: list[str], isolation: str) -> None:
    with dial(TARGET) as current:
        for name in phases:
            with phase(name):
                pass

    assert isolation_of(proxy, current.ledger) == isolation


async def test_credentials_of_an_attempt_that_failed_do_not_count() -> None:
    with dial(TARGET) as current, phase("proxy.auth") as entry:
        pass
    entry.discarded = True

    assert isolation_of(Socks5Layer("h", auth=Isolated()), current.ledger) == "none"
