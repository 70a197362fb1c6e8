from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.recorder import Recorder
from tests.layers.scripted import TARGET, Leaf, refused
from tests.services.dials import failing
from ziggurat.layers import LoggingLayer, Race, ServiceBuilder, race
from ziggurat.layers.layer import Stack, layer_fn
from ziggurat.layers.testing import check_layer
from ziggurat.services import AllFailed, ConnectError, Connector, DialAttribute, TcpConnector, Uri, dial, phase


@pytest.mark.parametrize("delay", [0.25, 1000.0])
@pytest.mark.parametrize("branches", [1, 2, 3])
async def test_it_keeps_the_contracts_of_a_layer(branches: int, delay: float) -> None:
    def racing(inner: Connector) -> Connector:
        return race(*[inner] * branches, delay=delay)

    await check_layer(layer_fn(racing), transparent=True)


async def test_branches_stand_in_one_ledger_by_their_names() -> None:
    stack = Race({"tor": Leaf(seconds=60.0), "lan": Leaf(*refused(1)), "wan": Leaf()})
    stream = await stack(TARGET)
    ledger = stream.extra(DialAttribute.ledger)
    shown = [(entry.branch, entry.outcome, entry.discarded) for entry in ledger.phases]
    assert shown == [("tor", "cancelled", True), ("lan", "failed", True), ("wan", "ok", False)]
    assert ledger.error is None
    await stream.aclose()


async def test_a_race_in_a_race_has_both_names() -> None:
    stack = Race({"a": race(Leaf(*refused(1)), Leaf())})
    stream = await stack(TARGET)
    assert [entry.branch for entry in stream.extra(DialAttribute.ledger).phases] == ["a/1", "a/2"]
    await stream.aclose()


async def test_each_branch_has_exactly_one_outcome_in_the_log() -> None:
    won, failed, slow, late = Recorder(), Recorder(), Recorder(), Recorder()

    def logged(logger: Recorder, leaf: Leaf) -> Connector:
        return Stack([LoggingLayer(logger=logger)], leaf)

    stack = race(
        logged(slow, Leaf(seconds=60.0)),
        logged(failed, Leaf(*refused(1))),
        logged(won, Leaf(seconds=1.0)),
        logged(late, Leaf(seconds=0.75)),  # in the same tick
    )
    with failing(), dial(TARGET) as current, current.attempt():
        await stack(TARGET)
        if "dial.failed" in won.events:  # trio runs the tasks of one tick in any order
            won, late = late, won
        assert won.events == ["dial.started"]  # HTTP/2 is still to come
        with phase("http2"):
            raise ConnectError("no SETTINGS")
    assert won.events == failed.events == slow.events == late.events == ["dial.started", "dial.failed"]
    assert sorted(str(each.errors) for each in (slow, late)) == ["['cancelled']", "['cancelled']"]
    assert failed.errors == ["ConnectRefused: connection refused; nothing listens there"]
    assert won.errors == ["ConnectError: no SETTINGS"]


async def test_the_loggers_of_all_branches_when_the_caller_is_cancelled() -> None:
    logger = Recorder()
    stack = race(*[Stack([LoggingLayer(logger=logger)], Leaf(seconds=60.0)) for _ in range(3)])
    with anyio.move_on_after(5.0):
        await stack(TARGET)
    assert sorted(logger.events) == ["dial.failed"] * 3 + ["dial.started"] * 3
    assert logger.errors == ["cancelled"] * 3


async def test_the_error_of_an_earlier_branch_is_not_that_of_the_dial() -> None:
    """A `ConnectTimeout` left as the ledger's error would be taken for the reason of the cancellation of others."""

    async def quick(uri: Uri, /) -> ByteStream:
        with dial(uri), phase("mine", limit=0.125):
            await anyio.sleep_forever()
        raise AssertionError

    logger = Recorder()
    stack = race(quick, Stack([LoggingLayer(logger=logger)], Leaf(seconds=60.0)))
    with anyio.move_on_after(5.0):
        await stack(TARGET)
    assert logger.errors == ["cancelled"]


def test_it_hands_on_what_its_branches_remark() -> None:
    stack = ServiceBuilder().retry().timeout(1.0).service(Leaf())
    (remark,) = Race({"lan": stack}).remarks(TARGET)
    assert remark.text == "lan: RetryLayer > TimeoutLayer: the 1 s of TimeoutLayer are for each attempt"


async def test_one_branch_raises_its_own_error() -> None:
    (error,) = refused(1)
    with pytest.raises(ConnectError) as caught:
        await race(Leaf(error))(TARGET)
    assert caught.value is error
    with pytest.raises(AllFailed, match="2 branches failed: 1: connection refused; 2: connection refused"):
        await race(Leaf(*refused(1)), Leaf(*refused(1)))(TARGET)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (({},), ValueError, "a race needs at least one branch"),
        (([],), TypeError, r"branches must be a mapping from names to connectors, not \[\]"),
        (({1: Leaf()},), TypeError, "a branch's name must be a str, not 1"),
        (({"a": TcpConnector},), TypeError, r"TcpConnector is a class: pass an instance, TcpConnector\(...\)"),
        (({"a": Leaf()}, 0.0), ValueError, "delay must be a positive number of seconds, not 0.0"),
    ],
)
def test_wrong_settings_are_refused(arguments: tuple[object, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Race(*arguments)  # type: ignore[arg-type]


def test_the_callers_mapping_may_change() -> None:
    branches: dict[str, Connector] = {"a": TcpConnector(1.0)}
    stack = Race(branches)
    branches.clear()
    assert repr(stack).startswith("Race({a: TcpConnector(timeout=1.0, ")
    assert hash(stack) == hash(Race({"a": TcpConnector(1.0)}))
