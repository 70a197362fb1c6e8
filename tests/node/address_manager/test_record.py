from __future__ import annotations

from ziggurat.node.address import AddressNetwork
from ziggurat.node.address_manager.record import Record


def test_nobody_has_told_an_address_unless_it_is_said() -> None:
    assert Record(1) == Record(1, frozenset())
    assert Record(1) != Record(1, frozenset({AddressNetwork.ONION}))
