"""The scenarios of tower's hedge/main.rs, where they fit, and what it gets wrong."""

from __future__ import annotations

import anyio
import pytest

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers import HedgeLayer, LatencyQuantile, RetryBudget
from ziggurat.layers.testing import check_layer
from ziggurat.services import AllFailed, ConnectError, DialAttribute


@pytest.mark.parametrize(
    "layer",
    [HedgeLayer(0.25), HedgeLayer(1000.0), HedgeLayer(0.25, RetryBudget(1000.0)), HedgeLayer(LatencyQuantile())],
    ids=repr,
)
async def test_it_keeps_the_contracts_of_a_layer(layer: HedgeLayer) -> None:
    await check_layer(layer, transparent=True, shared=True)


async def test_it_keeps_the_contracts_once_it_knows_how_long_dials_take() -> None:
    latency = LatencyQuantile(minimum=1)
    latency.record(0.25)
    await check_layer(HedgeLayer(latency), transparent=True, shared=True)


async def test_a_quick_dial_is_alone() -> None:
    leaf = Leaf(seconds=0.5)
    await (await HedgeLayer(1.0).layer(leaf)(TARGET)).aclose()
    assert leaf.calls == [0.0]


async def test_the_first_dial_may_still_win() -> None:
    leaf = Leaf(seconds=[2.0, 60.0])
    stream = await HedgeLayer(1.0).layer(leaf)(TARGET)
    assert leaf.calls == [0.0, 1.0]
    assert (leaf.cancelled, leaf.open) == (1, 1)
    await stream.aclose()


async def test_the_second_dial_wins_over_a_slow_one_and_the_ledger_shows_both() -> None:
    leaf = Leaf(seconds=[60.0, 0.5])
    stream = await HedgeLayer(1.0).layer(leaf)(TARGET)
    shown = [(entry.branch, entry.outcome) for entry in stream.extra(DialAttribute.ledger).phases]
    assert shown == [("first", "cancelled"), ("hedge", "ok")]
    assert (leaf.cancelled, leaf.open) == (1, 1)
    await stream.aclose()


async def test_a_failure_of_one_does_not_end_the_other() -> None:
    """tower: the first to end wins, an error too."""
    leaf = Leaf(None, *refused(1), seconds=[3.0, 0.5])
    await (await HedgeLayer(1.0).layer(leaf)(TARGET)).aclose()
    leaf = Leaf(*refused(1), None, seconds=[2.0, 3.0])
    await (await HedgeLayer(1.0).layer(leaf)(TARGET)).aclose()
    assert leaf.open == 0


async def test_a_dial_that_fails_before_it_is_slow_is_not_hedged() -> None:
    (error,) = refused(1)
    leaf = Leaf(error, None, seconds=0.5)
    with pytest.raises(ConnectError) as caught:
        await HedgeLayer(1.0).layer(leaf)(TARGET)
    assert caught.value is error
    assert len(leaf.calls) == 1


async def test_both_errors_come_together() -> None:
    with pytest.raises(AllFailed, match="2 branches failed: first: connection refused; hedge: connection refused"):
        await HedgeLayer(1.0).layer(Leaf(*refused(2), seconds=2.0))(TARGET)


async def test_without_a_token_there_is_no_second_dial() -> None:
    """A service that is slow for all is not dialled twice by all (grafana/loki #4826)."""
    budget = RetryBudget(3, per_success=0.1, per_second=0.0)
    leaf = Leaf(seconds=2.0)
    connector = HedgeLayer(1.0, budget).layer(leaf)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(connector, TARGET)
    assert len(leaf.calls) == 103
    assert budget.left == 3.0  # a hundred successes have filled it


async def test_the_delay_is_the_quantile_of_earlier_dials() -> None:
    latency = LatencyQuantile(0.9, minimum=10)
    leaf = Leaf(seconds=[0.5] * 10 + [60.0, 0.25])
    connector = HedgeLayer(latency).layer(leaf)
    for _ in range(10):
        await connector(TARGET)
    assert latency.seconds == 0.5
    started = anyio.current_time()
    await connector(TARGET)
    assert anyio.current_time() - started == 0.75


async def test_an_overtaken_dial_counts_with_its_time_so_far() -> None:
    """Or only quick dials would be counted, the quantile would fall, and in the end each dial would be hedged."""
    latency = LatencyQuantile(0.5, window=1, minimum=1)
    latency.record(1.0)
    await HedgeLayer(latency).layer(Leaf(seconds=[60.0, 0.5]))(TARGET)
    assert latency.seconds == 1.5


async def test_failed_and_cancelled_dials_are_no_latencies() -> None:
    latency = LatencyQuantile(0.5, window=1, minimum=1)
    latency.record(1.0)
    connector = HedgeLayer(latency).layer(Leaf(*refused(1), None, seconds=[0.25, 60.0]))
    with pytest.raises(ConnectError):
        await connector(TARGET)
    with anyio.move_on_after(5.0):
        await connector(TARGET)
    assert latency.seconds == 1.0


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((0,), ValueError, "after must be a positive number of seconds, not 0"),
        ((None,), TypeError, "after must be a positive number of seconds, not None"),
        ((1.0, 3), TypeError, "budget must be a RetryBudget or None, not 3"),
    ],
)
def test_wrong_settings_are_refused(arguments: tuple[object, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        HedgeLayer(*arguments)  # type: ignore[arg-type]
