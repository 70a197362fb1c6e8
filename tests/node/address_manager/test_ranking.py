from __future__ import annotations

import pytest

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager.ranking import Ranking


def ranking(*entries: str) -> Ranking:
    made = Ranking()
    for entry in entries:
        ip, _, failures = entry.partition(" ")
        made.add(NetAddress.parse(ip, 1), int(failures))
    return made


@pytest.mark.parametrize(
    ("entries", "worst"),
    [
        (["10.0.0.1 0", "10.0.0.2 3", "10.0.0.3 3"], "10.0.0.2"),
        (["10.0.0.1 2", "10.0.0.2 1", "10.0.0.3 1"], "10.0.0.1"),
        (["2600::1 0"], "2600::1"),
    ],
)
def test_the_worst_failed_most_and_is_the_oldest(entries: list[str], worst: str) -> None:
    made = ranking(*entries)

    assert len(made) == len(entries)
    assert made.pop_worst() == NetAddress.parse(worst, 1)
    assert len(made) == len(entries) - 1


def test_what_was_removed_is_not_the_worst() -> None:
    entries = ranking("10.0.0.1 3", "10.0.0.2 1")
    entries.remove(NetAddress.parse("10.0.0.1", 1), 3)

    assert entries.pop_worst() == NetAddress.parse("10.0.0.2", 1)
    with pytest.raises(ValueError, match="empty"):
        entries.pop_worst()


def test_what_was_not_added_cannot_be_removed() -> None:
    with pytest.raises(KeyError):
        ranking("10.0.0.1 3").remove(NetAddress.parse("10.0.0.1", 1), 2)
