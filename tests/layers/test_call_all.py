from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers.call_all import Answer, call_all
from ziggurat.layers.testing import stream_pair
from ziggurat.services import ConnectError, ConnectRefused, DialAttribute, Uri, WrappedStream, dial


def target(number: int) -> Uri:
    return Uri("tcp", f"h{number}.test", 1)


class Slow:
    """A leaf that takes as many seconds as the host's number says, and fails where told."""

    def __init__(self, failing: tuple[int, ...] = (), error: BaseException | None = None) -> None:
        self.failing = failing
        self.error = error
        self.running = self.most = self.open = self.calls = 0

    async def __call__(self, uri: Uri, /) -> ByteStream:
        number = int(uri.host.removeprefix("h").removesuffix(".test"))
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            with dial(uri) as current:
                await anyio.sleep(number)
                if number in self.failing:
                    raise self.error or ConnectError("no")
                stream = WrappedStream(stream_pair()[0])
                self.open += 1
                stream.on_close(self._closed)
                return current.established(stream)
        finally:
            self.running -= 1

    def _closed(self) -> None:
        self.open -= 1


async def close(answer: Answer) -> None:
    if answer.stream is not None:
        await answer.stream.aclose()


async def test_answers_come_as_they_are_ready_with_their_targets_and_errors() -> None:
    leaf = Slow(failing=(2,))
    found: list[tuple[Uri, bool]] = []
    async with call_all(leaf, [target(number) for number in (3, 1, 2)]) as answers:
        async for answer in answers:
            found.append((answer.uri, answer.error is None))
            assert (answer.stream is None) == (answer.error is not None)
            await close(answer)
    assert found == [(target(1), True), (target(2), False), (target(3), True)]
    assert (leaf.open, leaf.running) == (0, 0)


async def test_no_more_than_the_limit_are_under_way_or_waiting_to_be_taken() -> None:
    leaf = Slow()
    async with call_all(leaf, (target(1) for _ in range(50)), limit=7) as answers:
        await anyio.sleep(100.0)
        assert (leaf.calls, leaf.open) == (7, 7)  # nobody takes the answers: no further dial
        count = 0
        async for answer in answers:
            count += 1
            await close(answer)
    assert (count, leaf.most, leaf.open) == (50, 7, 0)


async def test_whoever_stops_early_leaves_nothing_open_or_running() -> None:
    leaf = Slow()
    async with call_all(leaf, [target(number) for number in (1, 2, 2, 2, 3, 900)]) as answers:
        async for answer in answers:
            taken = answer
            await anyio.sleep(5.0)
            break
    assert (leaf.running, leaf.open) == (0, 1)  # what was taken belongs to who took it
    assert taken.stream is not None
    await taken.stream.send(b"still open")
    await close(taken)
    assert leaf.open == 0


@pytest.mark.parametrize("how", ["raise", "cancel"])
async def test_a_block_that_raises_or_is_cancelled_leaves_nothing(how: str) -> None:
    leaf = Slow()

    async def block() -> None:
        async with call_all(leaf, [target(number) for number in (1, 1, 900)]):
            await anyio.sleep(2.0)
            assert leaf.open == 2
            if how == "raise":
                raise ValueError("mine")
            await anyio.sleep_forever()

    if how == "raise":
        with pytest.raises(ValueError, match="mine"):
            await block()
    else:
        with anyio.move_on_after(3.0) as scope:
            await block()
        assert scope.cancelled_caught
    assert (leaf.open, leaf.running) == (0, 0)


async def test_a_consumer_that_is_cancelled_while_it_waits_has_taken_nothing() -> None:
    """An answer that is handed over at that moment would be nobody's."""
    leaf = Slow()
    async with call_all(leaf, [target(1), target(1)]) as answers:
        for _ in range(2):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(answers)
            await anyio.sleep(2.0)
        assert leaf.open == 2
        count = 0
        async for answer in answers:
            count += 1
            await close(answer)
    assert (count, leaf.open) == (2, 0)


async def test_the_targets_may_come_from_an_async_iterator_that_is_closed_at_the_end() -> None:
    closed: list[bool] = []

    async def targets() -> AsyncIterator[Uri]:
        try:
            while True:
                yield target(1)
                await anyio.sleep(1.0)
        finally:
            closed.append(True)

    leaf = Slow()
    async with call_all(leaf, targets(), limit=2) as answers:
        count = 0
        async for answer in answers:
            await close(answer)
            count += 1
            if count == 5:
                break
    assert closed == [True]


async def test_a_slow_iterator_holds_no_slot() -> None:
    """tower util/call_all.rs: waiting for a target must not keep a permit."""

    async def targets() -> AsyncIterator[Uri]:
        yield target(1)
        await anyio.sleep(50.0)
        yield target(1)

    leaf = Slow()
    async with call_all(leaf, targets(), limit=1) as answers:
        start = anyio.current_time()
        await close(await anext(answers))
        assert anyio.current_time() - start == pytest.approx(1.0)
        await close(await anext(answers))
        assert anyio.current_time() - start == pytest.approx(51.0)
        with pytest.raises(StopAsyncIteration):
            await anext(answers)


async def test_a_failing_iterator_is_raised_after_the_answers_before_it() -> None:
    def targets() -> Iterator[Uri]:
        yield target(1)
        yield target(2)
        raise ValueError("the list is broken")

    found: list[Uri] = []

    async def take() -> None:
        async with call_all(Slow(), targets()) as answers:
            async for answer in answers:
                found.append(answer.uri)
                await close(answer)

    with pytest.raises(ValueError, match="the list is broken"):
        await take()
    assert found == [target(1), target(2)]


async def test_a_foreign_error_of_the_system_is_mapped_and_a_bug_ends_the_block() -> None:
    leaf = Slow(failing=(1,), error=ConnectionResetError("reset"))
    async with call_all(leaf, [target(1)]) as answers:
        answer = await anext(answers)
    assert isinstance(answer.error, ConnectError)
    assert isinstance(answer.error.__cause__, ConnectionResetError)
    assert "ConnectionResetError: reset" in str(answer.error)

    leaf = Slow(failing=(2,), error=ZeroDivisionError("bug"))

    async def block() -> None:
        async with call_all(leaf, [target(1), target(2), target(900)]):
            await anyio.sleep_forever()

    with pytest.raises(ZeroDivisionError, match="bug"):
        await block()
    assert (leaf.open, leaf.running) == (0, 0)


async def test_each_dial_is_one_of_its_own_even_inside_another() -> None:
    with dial(TARGET) as outer:
        async with call_all(Leaf(), [target(1), target(2)]) as answers:
            async for answer in answers:
                assert answer.stream is not None
                ledger = answer.stream.extra(DialAttribute.ledger)
                assert (ledger.target, len(ledger.phases)) == (answer.uri, 1)
                await close(answer)
    assert not outer.ledger.phases


async def test_errors_name_their_own_targets() -> None:
    async with call_all(Leaf(*refused()), [target(1)]) as answers:
        answer = await anext(answers)
    assert isinstance(answer.error, ConnectRefused)
    assert answer.error.target == target(1)


async def test_nothing_to_dial_is_no_answer_and_after_the_block_there_is_none() -> None:
    async with call_all(Slow(), []) as answers:
        assert [answer async for answer in answers] == []
    async with call_all(Slow(), [target(1)]) as answers:
        pass
    assert [answer async for answer in answers] == []
    with pytest.raises(RuntimeError, match="call it again"):
        await answers.__aenter__()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((None, []), TypeError, "a connector is"),
        ((Slow(), "tcp://a.test:1"), TypeError, "uris must be an iterable"),
        ((Slow(), None), TypeError, "uris must be an iterable"),
        ((Slow(), [], 0), ValueError, "limit must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call_all(*arguments)


async def test_something_else_than_a_uri_is_a_mistake() -> None:
    wrong: Any = ["tcp://a.test:1"]
    async with call_all(Slow(), wrong) as answers:
        with pytest.raises(TypeError, match=r"call_all dials Uris, not 'tcp://a.test:1'"):
            await anext(answers)
