from __future__ import annotations

from typing import Any

import pytest

from tests.layers.scripted import TARGET, Leaf
from ziggurat.layers.redirect import Redirect, redirects
from ziggurat.layers.testing import check_layer
from ziggurat.services import Connector, DialAttribute, TcpConnector, Uri

ADDRESS = Uri("tcp", "10.0.0.7", 81)


class To:
    def layer(self, inner: Connector, /) -> Connector:
        return Redirect(inner, ADDRESS)


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(To(), inner_uri=ADDRESS, transparent=True)


async def test_the_dial_keeps_its_target_and_names_the_address() -> None:
    stream = await Redirect(Leaf(), "10.0.0.7:81")(TARGET)
    ledger = stream.extra(DialAttribute.ledger)
    assert (ledger.target, ledger.phases[0].via) == (TARGET, "10.0.0.7:81")
    await stream.aclose()


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("a.test:1", Uri("tcp", "a.test", 1)),
        ("[::1]:2", Uri("tcp", "::1", 2)),
        ("https://a.test", Uri("https", "a.test", 443)),
        ("unix:/run/a", Uri("unix", path="/run/a")),
        (ADDRESS, ADDRESS),
    ],
)
def test_an_address_may_be_written_in_several_ways(address: str | Uri, uri: Uri) -> None:
    assert Redirect(TcpConnector(), address).uri == uri
    assert Redirect(TcpConnector(), address) == Redirect(TcpConnector(), uri)


@pytest.mark.parametrize(("address", "message"), [("a.test", "has no port: write 'a.test:443'"), ("a:0", "bad port")])
def test_a_wrong_address_is_refused(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Redirect(TcpConnector(), address)


def test_redirects_makes_one_for_each_address() -> None:
    made = redirects(TcpConnector(), ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.1:1"])
    assert made == {key: Redirect(TcpConnector(), key) for key in ("10.0.0.1:1", "10.0.0.2:1")}
    with pytest.raises(TypeError, match=r"write \['a:1'\]"):
        redirects(TcpConnector(), "a:1")
    connector: Any = None
    with pytest.raises(TypeError, match="a connector is"):
        redirects(connector, ["a:1"])


def test_repr_shows_the_address() -> None:
    assert repr(Redirect(TcpConnector(), "a.test:1")).startswith("Redirect(a.test:1 > TcpConnector(")
