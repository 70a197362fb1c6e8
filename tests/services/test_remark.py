from __future__ import annotations

from collections.abc import Iterator

from ziggurat.services.remark import Remark, Remarking, remarks_of
from ziggurat.services.uri import Uri

TARGET = Uri.parse("https://target.test")


class Talkative:
    def remarks(self, target: Uri, /) -> Iterator[Remark]:
        yield Remark(f"will fail: {target.host}")
        yield Remark("order", warning=False)


def test_a_connector_without_the_method_has_nothing_to_say() -> None:
    assert remarks_of(object(), TARGET) == []
    assert not isinstance(object(), Remarking)


def test_remarks_keep_their_kind_and_get_the_prefix() -> None:
    assert remarks_of(Talkative(), TARGET, prefix="a: ") == [
        Remark("a: will fail: target.test"),
        Remark("a: order", warning=False),
    ]
