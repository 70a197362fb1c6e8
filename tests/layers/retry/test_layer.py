"""Retries: how often, when, what is reported, and what is never retried."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.recorder import Recorder
from tests.layers.scripted import TARGET, Leaf, refused
from tests.services.dials import failing
from ziggurat.layers import LoggingLayer, RetryBudget, RetryLayer, RetryPolicy, ServiceBuilder
from ziggurat.layers.layer import Stack
from ziggurat.layers.testing import check_layer, mock_connector, stream_pair
from ziggurat.services import (
    AllFailed,
    Backoff,
    CircuitOpen,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    DialAttribute,
    LeakError,
    ProxyAuthError,
    Uri,
    dial,
    phase,
)

EVEN = Backoff(1.0, factor=2.0, jitter=0.0)


def retry(attempts: int | None = 3, **settings: object) -> RetryLayer:
    return RetryLayer(RetryPolicy(attempts, **{"backoff": EVEN, **settings}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "layer", [retry(), retry(1), retry(None, within=5.0), retry(budget=RetryBudget(1000.0))], ids=repr
)
async def test_it_keeps_the_contracts_of_a_layer(layer: RetryLayer) -> None:
    await check_layer(layer, transparent=True)


async def test_it_dials_again_after_growing_waits() -> None:
    leaf = Leaf(*refused(3), None)
    stream = await retry(4).layer(leaf)(TARGET)
    assert leaf.calls == [0.0, 1.0, 3.0, 7.0]
    assert leaf.open == 1
    await stream.aclose()


async def test_a_second_failure_of_two_attempts_is_final() -> None:
    """tower retry/main.rs: a limit of two retries returns the third error."""
    leaf = Leaf(*refused(9))
    with pytest.raises(AllFailed):
        await retry(2).layer(leaf)(TARGET)
    assert leaf.calls == [0.0, 1.0]


async def test_one_attempt_that_failed_raises_its_own_error() -> None:
    error = ProxyAuthError("wrong password")
    with pytest.raises(ProxyAuthError) as caught:
        await retry().layer(Leaf(error))(TARGET)
    assert caught.value is error


async def test_all_errors_are_in_the_last_one_and_in_one_line() -> None:
    errors = [*refused(2), ConnectError("network is unreachable")]
    with pytest.raises(AllFailed) as caught:
        await retry().layer(Leaf(*errors))(TARGET)
    assert caught.value.errors == tuple(errors)
    assert caught.value.__cause__ is errors[-1]
    assert (caught.value.phase, caught.value.transient, caught.value.sent_to_target) == ("tcp", True, False)
    assert str(caught.value) == (
        "http://target.test:80: tcp failed after 3.00 s: 3 attempts failed: connection refused (2 times); "
        "network is unreachable (retry.wait 1.00, retry.wait 2.00 s)"
    )


async def test_attempts_stand_in_one_ledger_with_their_numbers() -> None:
    stream = await retry().layer(Leaf(*refused(1), None))(TARGET)
    ledger = stream.extra(DialAttribute.ledger)
    shown = [(entry.name, entry.attempt, entry.outcome, entry.discarded) for entry in ledger.phases]
    assert shown == [("tcp", 1, "failed", True), ("retry.wait", None, "ok", False), ("tcp", 2, "ok", False)]
    assert ledger.error is None
    await stream.aclose()


async def test_what_was_sent_to_the_target_is_not_sent_again() -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        calls.append(uri)
        with dial(uri) as current, phase("tls"):
            current.ledger.sent_to_target = True
            raise ConnectError("reset")

    calls: list[Uri] = []
    with pytest.raises(ConnectError, match="reset"):
        await retry().layer(leaf)(TARGET)
    assert len(calls) == 1
    with pytest.raises(AllFailed):
        await retry(when=lambda error: error.transient).layer(leaf)(TARGET)
    assert len(calls) == 1 + 3


@pytest.mark.parametrize("error", [LeakError("leak", "192.0.2.1:80", "a.py:1"), OSError("foreign"), KeyError("bug")])
async def test_other_exceptions_are_never_retried(error: Exception) -> None:
    leaf = Leaf(*refused(1), error)
    with pytest.raises(type(error)) as caught:
        await retry(9).layer(leaf)(TARGET)
    assert caught.value is error
    assert leaf.calls == [0.0, 1.0]


async def test_an_error_that_is_not_transient_ends_it() -> None:
    leaf = Leaf(*refused(1), ProxyAuthError("wrong password"), None)
    with pytest.raises(AllFailed, match="2 attempts failed: connection refused; wrong password"):
        await retry(9).layer(leaf)(TARGET)
    assert len(leaf.calls) == 2


async def test_a_cancelled_caller_is_not_retried() -> None:
    leaf = Leaf(None, seconds=10.0)
    with anyio.move_on_after(1) as scope:
        await retry().layer(leaf)(TARGET)
    assert scope.cancelled_caught
    assert (len(leaf.calls), leaf.cancelled) == (1, 1)


async def test_a_timeout_above_wins_and_says_what_the_wait_was_for() -> None:
    stack = ServiceBuilder().timeout(1.5, name="all").retry(RetryPolicy(9, backoff=EVEN)).service(Leaf(*refused(9)))
    with pytest.raises(ConnectTimeout) as caught:
        await stack(TARGET)
    assert (caught.value.name, caught.value.phase) == ("all", "retry.wait")
    assert caught.value.hint == "attempt 2 failed: connection refused"


async def test_a_timeout_below_ends_one_attempt() -> None:
    leaf = Leaf(None, seconds=[60.0, 0.1])
    stack = ServiceBuilder().retry(RetryPolicy(backoff=EVEN)).timeout(2.0).service(leaf)
    stream = await stack(TARGET)
    assert leaf.calls == [0.0, 3.0]
    await stream.aclose()


async def test_no_attempt_starts_after_the_time_budget_and_no_wait_exceeds_it() -> None:
    leaf = Leaf(*refused(9), seconds=0.5)
    started = anyio.current_time()
    with pytest.raises(AllFailed) as caught:
        await retry(None, within=4.5).layer(leaf)(TARGET)
    assert leaf.calls == [0.0, 1.5, 4.0]  # the next would come at 8.5
    assert anyio.current_time() - started == pytest.approx(4.5)
    assert caught.value.ledger is not None
    limits = [entry.limit for entry in caught.value.ledger.phases if entry.name == "retry.wait"]
    assert limits == [pytest.approx(4.0), pytest.approx(2.5)]


async def test_an_open_breaker_says_how_long_to_wait() -> None:
    leaf = Leaf(CircuitOpen("open", 30.0), None)
    stream = await retry().layer(leaf)(TARGET)
    assert leaf.calls == [0.0, 30.0]
    await stream.aclose()
    leaf = Leaf(CircuitOpen("open", 30.0), None)
    with pytest.raises(CircuitOpen):
        await retry(within=20.0).layer(leaf)(TARGET)


async def test_without_a_token_there_is_no_retry_and_the_ledger_says_so() -> None:
    budget = RetryBudget(1.0, per_second=0.0)
    first, second = Leaf(*refused(9)), Leaf(*refused(9))
    with pytest.raises(AllFailed):
        await retry(budget=budget).layer(first)(TARGET)
    with pytest.raises(ConnectError) as caught:
        await retry(budget=budget).layer(second)(TARGET)
    assert (len(first.calls), len(second.calls)) == (2, 1)
    assert caught.value.ledger is not None
    assert caught.value.ledger.phases[-1].note == "no other attempt: the retry budget is used up"


async def test_a_cancelled_wait_gives_its_token_back() -> None:
    budget = RetryBudget(1.0, per_second=0.0)
    with anyio.move_on_after(0.5):
        await retry(budget=budget).layer(Leaf(*refused(1)))(TARGET)
    assert budget.left == 1.0


async def test_a_success_gives_back_its_share_once_the_whole_dial_has_succeeded() -> None:
    budget = RetryBudget(2.0, per_success=0.5, per_second=0.0)
    connector = retry(budget=budget).layer(Leaf(*refused(1), None))
    await connector(TARGET)
    assert budget.left == 1.5
    with failing(), dial(TARGET) as current, current.attempt():
        await connector(TARGET)
        raise ConnectError("no SETTINGS")
    assert budget.left == 1.5


async def test_a_logger_below_sees_each_attempt_and_one_above_the_dial() -> None:
    above_logger, below_logger = Recorder(), Recorder()
    stack = Stack(
        [LoggingLayer(logger=above_logger), retry(), LoggingLayer(logger=below_logger)], Leaf(*refused(2), None)
    )
    await (await stack(TARGET)).aclose()
    assert above_logger.events == ["dial.started", "dial.connected"]
    assert below_logger.events == ["dial.started", "dial.failed"] * 2 + ["dial.started", "dial.connected"]


async def test_a_logger_below_hears_of_a_failure_after_the_retry() -> None:
    """Where an endpoint dials, the dial is connected after its SETTINGS, not when a stream is there."""
    logger = Recorder()
    stack = Stack([retry(), LoggingLayer(logger=logger)], Leaf(*refused(1), None))
    with failing(), dial(TARGET) as current, current.attempt():
        await stack(TARGET)
        assert logger.events == ["dial.started", "dial.failed", "dial.started"]
        with phase("http2"):
            raise ConnectError("no SETTINGS")
    assert logger.events == ["dial.started", "dial.failed", "dial.started", "dial.failed"]


async def test_waiting_holds_no_permit_of_a_limit_below() -> None:
    connector, handle = mock_connector()
    stack = ServiceBuilder().retry(RetryPolicy(backoff=EVEN)).concurrency_limit(1).service(connector)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stack, TARGET)
        (await handle.next()).fail(refused()[0])
        tasks.start_soon(stack, TARGET)
        second = await handle.next(0.5)  # while the first one waits
        second.accept()
        (await handle.next()).accept()
    for request in handle.requests:
        if request.stream is not None:
            await request.stream.aclose()


class Failing:
    """A leaf that keeps no error, and whose frames keep none."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def __call__(self, uri: Uri, /) -> ByteStream:
        self.times -= 1
        if self.times >= 0:
            raise ConnectRefused("no")
        return stream_pair()[0]


@pytest.mark.asyncio_only  # on CPython 3.12 trio's own sleep leaves its frames, and so its callers', in a cycle
@pytest.mark.parametrize("failures", [1, 3])
async def test_it_leaves_no_cycle(failures: int) -> None:
    """The traceback of an attempt's error refers to the frame that keeps the errors."""
    gc.collect()
    gc.disable()
    try:
        leaf = Failing(failures)
        alive = weakref.ref(leaf)
        try:
            await retry().layer(leaf)(TARGET)
        except AllFailed:
            assert failures == 3
        del leaf
        assert alive() is None
    finally:
        gc.enable()


async def test_each_application_starts_anew() -> None:
    layer = retry(2)
    for _ in range(2):
        leaf = Leaf(*refused(1), None)
        await (await layer.layer(leaf)(TARGET)).aclose()
        assert len(leaf.calls) == 2


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="policy must be a RetryPolicy, not 3"):
        RetryLayer(3)  # type: ignore[arg-type]


def test_repr_shows_the_settings() -> None:
    assert repr(RetryLayer(RetryPolicy(2, backoff=EVEN))) == (
        "RetryLayer(policy=RetryPolicy(attempts=2, within=None, "
        "backoff=Backoff(initial=1.0, factor=2.0, jitter=0.0, maximum=120.0)))"
    )
