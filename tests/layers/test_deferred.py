from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers.deferred import deferred
from ziggurat.layers.testing import check_layer
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services import ConnectError, Connector, ConnectRefused, ConnectTimeout, DialAttribute, Uri

CONTROL = Uri.parse("tcp://127.0.0.1:9051")


class Making:
    """An async function that plays one step for each call: an exception, or a connector."""

    def __init__(self, *steps: Connector | BaseException, seconds: float = 1.0) -> None:
        self.steps = list(steps)
        self.seconds = seconds
        self.calls = 0

    async def __call__(self) -> Connector:
        step = self.steps[min(self.calls, len(self.steps) - 1)]
        self.calls += 1
        await anyio.sleep(self.seconds)
        if isinstance(step, BaseException):
            raise step
        return step


class Later:
    def layer(self, inner: Connector, /) -> Connector:
        return deferred(Making(inner))


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(Later(), transparent=True)


async def outcomes(connector: Connector, count: int) -> list[object]:
    found: list[object] = []

    async def one() -> None:
        try:
            stream = await connector(TARGET)
        except ConnectError as error:
            found.append(error)
        else:
            found.append(stream)
            await stream.aclose()

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return found


async def test_concurrent_dials_share_one_call_and_later_ones_need_none() -> None:
    leaf = Leaf()
    making = Making(leaf)
    connector = deferred(making)
    assert not connector.ready
    start = anyio.current_time()
    await outcomes(connector, 20)
    assert anyio.current_time() - start == pytest.approx(1.0)
    assert connector.ready
    await outcomes(connector, 5)
    assert anyio.current_time() - start == pytest.approx(1.0)
    assert (making.calls, len(leaf.calls)) == (1, 25)


async def test_nothing_is_called_before_the_first_dial() -> None:
    making = Making(Leaf())
    deferred(making)
    await anyio.sleep(10.0)
    assert making.calls == 0


async def test_the_wait_is_a_phase_and_a_timeout_above_covers_it() -> None:
    connector = deferred(Making(Leaf(), seconds=100.0))
    with pytest.raises(ConnectTimeout) as caught:
        await TimeoutLayer(5.0).layer(connector)(TARGET)
    assert caught.value.phase == "deferred"


async def test_a_failure_reaches_each_waiting_dial_as_an_error_of_its_own_and_the_next_dial_calls_again() -> None:
    failure = ConnectError("bootstrap stuck at 10 %")
    making = Making(failure, Leaf())
    connector = deferred(making)
    errors = await outcomes(connector, 5)
    assert len({id(error) for error in errors}) == 5
    assert {str(error) for error in errors} == {
        "http://target.test:80: deferred failed after 1.00 s: bootstrap stuck at 10 %"
    }
    assert making.calls == 1
    (stream,) = await outcomes(connector, 1)
    assert isinstance(stream, ByteStream)
    assert making.calls == 2


async def test_another_exception_is_the_cause_of_each_error() -> None:
    failure = ValueError("no control port")
    errors = await outcomes(deferred(Making(failure), "tor"), 3)
    assert all(isinstance(error, ConnectError) and error.__cause__ is failure for error in errors)
    assert "tor: ValueError: no control port" in str(errors[0])


async def test_something_that_is_no_connector_is_an_error_too() -> None:
    wrong: Any = "socks5://127.0.0.1:9050"
    (error,) = await outcomes(deferred(Making(wrong)), 1)
    assert isinstance(error, ConnectError)
    assert "a connector is an async callable" in str(error)


async def test_if_the_dial_that_calls_is_cancelled_a_waiting_one_calls_again() -> None:
    making = Making(Leaf(), seconds=10.0)
    connector = deferred(making)
    found: list[object] = []

    async def impatient() -> None:
        with anyio.move_on_after(5.0):
            await connector(TARGET)

    async def patient() -> None:
        found.extend(await outcomes(connector, 3))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(impatient)
        await anyio.sleep(1.0)
        tasks.start_soon(patient)
    assert making.calls == 2
    assert all(isinstance(each, ByteStream) for each in found)


async def test_what_it_dials_itself_is_another_dial() -> None:
    async def make() -> Connector:
        await (await Leaf(name="control")(CONTROL)).aclose()
        return Leaf()

    stream = await deferred(make)(TARGET)
    assert [entry.name for entry in stream.extra(DialAttribute.ledger).phases] == ["deferred", "tcp"]
    await stream.aclose()


async def test_its_own_failed_dial_keeps_its_own_target() -> None:
    async def make() -> Connector:
        await Leaf(*refused(), name="control")(CONTROL)
        raise NotImplementedError

    with pytest.raises(ConnectRefused) as caught:
        await deferred(make)(TARGET)
    assert caught.value.target == CONTROL


async def test_an_awaitable_is_awaited_once_and_its_failure_is_final() -> None:
    making = Making(ConnectError("no"))
    connector = deferred(making(), "tor")
    for _ in range(2):
        errors = await outcomes(connector, 3)
        assert len({id(error) for error in errors}) == 3
        assert all("deferred failed" in str(error) and str(error).endswith(": no") for error in errors)
    assert making.calls == 1


async def test_an_awaitable_that_works() -> None:
    making = Making(Leaf())
    connector = deferred(making())
    assert all(isinstance(each, ByteStream) for each in await outcomes(connector, 3))
    assert making.calls == 1


async def test_an_awaitable_that_was_cancelled_says_what_would_not() -> None:
    connector = deferred(Making(Leaf(), seconds=10.0)(), "tor")
    with anyio.move_on_after(5.0):
        await connector(TARGET)
    with pytest.raises(
        ConnectError, match="tor: it was cancelled with the dial that awaited it; pass the async function"
    ):
        await connector(TARGET)


class Failing:
    """A function that keeps no error."""

    async def __call__(self) -> Connector:
        raise ConnectError("no")


async def test_it_leaves_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        make = Failing()
        alive = weakref.ref(make)
        connector = deferred(make)
        for _ in range(2):
            with pytest.raises(ConnectError):
                await connector(TARGET)
        del make, connector
        assert alive() is None
    finally:
        gc.enable()


def test_wrong_arguments_are_refused_and_repr_names_the_function() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match=r"deferred takes an async function .* not 3"):
        deferred(wrong)

    async def tor() -> Connector:
        raise NotImplementedError

    assert repr(deferred(tor, "tor")) == "deferred(tor)"
    assert repr(deferred(tor)).endswith("tor)")


async def test_repr_shows_the_connector_once_it_is_there() -> None:
    leaf = Leaf()
    connector = deferred(Making(leaf))
    await outcomes(connector, 1)
    assert repr(connector) == f"deferred({leaf!r})"
