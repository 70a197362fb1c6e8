from __future__ import annotations

from collections.abc import Callable, Iterator

import anyio
import pytest

from ziggurat.layers.balance.load import PendingLoad
from ziggurat.layers.balance.members import Members
from ziggurat.services.backoff import Backoff
from ziggurat.services.errors import ConnectError
from ziggurat.services.tcp import TcpConnector

BACKOFF = Backoff(1.0, jitter=0.0)


def draws(*numbers: float) -> Callable[[], float]:
    following: Iterator[float] = iter(numbers)
    return lambda: next(following)


def members(count: int, *numbers: float) -> Members:
    made = Members(PendingLoad(), draws(*numbers))
    for key in range(count):
        made.insert(key, TcpConnector(timeout=key + 1.0))
    return made


def test_none_of_none() -> None:
    assert members(0).choose(0.0) is None


def test_one_of_one_without_drawing() -> None:
    chosen = members(1).choose(0.0)
    assert chosen is not None
    assert chosen.key == 0


@pytest.mark.parametrize(
    ("first", "second", "drawn"),
    [(0.0, 0.0, (0, 1)), (0.5, 0.5, (1, 2)), (0.99, 0.99, (2, 1)), (1.0, 1.0, (2, 1)), (0.5, 0.0, (1, 0))],
)
def test_two_different_ones_are_drawn_and_the_less_loaded_is_taken(
    first: float, second: float, drawn: tuple[int, int]
) -> None:
    for busy in drawn:
        made = members(3, first, second)
        made.all()[busy].began(0.0)
        chosen = made.choose(0.0)
        assert chosen is not None
        assert {chosen.key, busy} == set(drawn)


def test_of_equals_the_first_drawn_is_taken() -> None:
    chosen = members(3, 0.5, 0.99).choose(0.0)
    assert chosen is not None
    assert chosen.key == 1


def test_what_was_tried_or_is_backing_off_is_not_drawn() -> None:
    made = members(3)
    one, other, last = made.all()
    one.failed(one.ended(one.began(0.0)), 0.0, ConnectError("no"), BACKOFF)
    assert made.choose(0.5, [other]) is last
    assert made.choose(0.5, [other, last]) is None
    assert made.choose(1.0, [other, last]) is one


def test_one_that_warms_up_is_spared_but_not_refused() -> None:
    made = members(2)
    cold, warm = made.all()
    cold.failed(cold.ended(cold.began(0.0)), 0.0, ConnectError("no"), BACKOFF)
    cold.succeeded(cold.began(1.0), 1.0)
    for _ in range(2):
        cold.began(1.0)
    for _ in range(50):
        warm.began(1.0)
    assert made.choose(1.0) is warm
    assert made.choose(1.0, [warm]) is cold


def test_the_next_comeback_is_known_unless_it_is_being_tried() -> None:
    made = members(2)
    one, other = made.all()
    one.failed(one.ended(one.began(0.0)), 0.0, ConnectError("no"), BACKOFF)
    other.failed(other.ended(other.began(0.0)), 3.0, ConnectError("no"), BACKOFF)
    assert (made.back_at(), made.probing) == (1.0, False)
    one.began(1.0)
    assert (made.back_at(), made.probing) == (4.0, True)
    assert members(0).back_at() is None


async def test_a_change_wakes_everyone_that_waits_and_time_does_too() -> None:
    made = members(0)
    made.on_this_loop()
    start, woken = made.clock(), list[float]()

    async def wait(until: float | None) -> None:
        await made.changed(until)
        woken.append(made.clock() - start)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, None)
        tasks.start_soon(wait, start + 1.0)
        tasks.start_soon(wait, start - 1.0)
        await anyio.sleep(2.0)
        assert made.waiting == 1
        made.insert("a", TcpConnector())
    assert woken == pytest.approx([0.0, 1.0, 2.0])
    assert made.waiting == 0


def test_an_equal_connector_keeps_what_was_learnt_and_another_does_not() -> None:
    """A registry that sends its whole list again must not make every dead endpoint new."""
    made = members(1)
    (known,) = made.all()
    made.insert(0, TcpConnector(timeout=1.0))
    assert made.all() == [known]
    made.insert(0, TcpConnector(timeout=9.0))
    assert made.all() != [known]
    assert len(made.all()) == 1


def test_they_belong_to_one_loop_at_a_time_and_forget_on_another() -> None:
    made = members(1)
    (only,) = made.all()

    async def learn() -> None:
        made.on_this_loop()
        only.failed(only.ended(only.began(made.clock())), made.clock(), ConnectError("no"), Backoff(100.0))
        assert not only.usable(made.clock())

    async def use() -> object:
        made.on_this_loop()
        assert only.usable(made.clock())
        return only.began(made.clock())

    anyio.run(learn)
    token = anyio.run(use, backend="trio")
    with pytest.raises(RuntimeError, match="in use on another event loop"):
        anyio.run(use)
    only.ended(token)
    anyio.run(use)
