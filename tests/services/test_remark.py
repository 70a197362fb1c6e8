from __future__ import annotations

from collections.abc import Iterator

from ziggurat.services.remark import Remark, Remarking, remarks_of, remarks_of_each
from ziggurat.services.uri import Uri

TARGET = Uri.parse("https://target.test")


class Talkative:
    def remarks(self, target: Uri, /) -> Iterator[Remark]:
        yield Remark(f"will fail: {target.host}")
        yield Remark("order", warning=False)


def test_a_connector_without_the_method_has_nothing_to_say() -> None:
    assert remarks_of(object(), TARGET) == []
    assert not isinstance(object(), Remarking)


def test_a_connectors_remarks() -> None:
    assert remarks_of(Talkative(), TARGET) == [Remark("will fail: target.test"), Remark("order", warning=False)]


def test_remarks_of_several_keep_their_kind_and_come_once() -> None:
    connectors = {"a": Talkative(), "b": object(), "c": Talkative(), 4: Talkative()}
    assert remarks_of_each(connectors, TARGET) == [
        Remark("a and 2 more: will fail: target.test"),
        Remark("a and 2 more: order", warning=False),
    ]
    assert remarks_of_each({"a": Talkative()}, TARGET)[0] == Remark("a: will fail: target.test")
    assert remarks_of_each({}, TARGET) == []
