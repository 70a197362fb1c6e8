"""What a balance dials, what it leaves alone, and when that comes back; real reports are named where they stand."""

from __future__ import annotations

import gc
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from itertools import cycle
from random import Random
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import TARGET, Leaf, refused
from ziggurat.layers import LoggingLayer, ServiceBuilder, TimeoutLayer
from ziggurat.layers.balance import Balance, Change, Insert, PeakEwma, PendingLoad, Remove
from ziggurat.layers.layer import Layer
from ziggurat.layers.retry import RetryLayer, RetryPolicy
from ziggurat.layers.testing import check_layer, mock_connector
from ziggurat.services import (
    AllFailed,
    Backoff,
    ConnectError,
    Connector,
    ConnectRefused,
    ConnectTimeout,
    DialAttribute,
    LimitExceeded,
    NoEndpoints,
    RouteRefused,
    Uri,
    WrappedStream,
    dial,
)

EVEN = Backoff(1.0, factor=2.0, jitter=0.0)


def drawing(*numbers: float) -> Callable[[], float]:
    following = cycle(numbers)
    return lambda: next(following)


FIRST = drawing(0.0)
"""Draws the first two that can be dialled."""


class BalanceOf:
    """A balance of one endpoint, as a layer."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def layer(self, inner: Connector, /) -> Balance:
        return Balance([inner], backoff=EVEN, **self.settings)


async def closed(stream: ByteStream) -> None:
    await stream.aclose()


async def dialled(balance: Connector, count: int) -> None:
    for _ in range(count):
        await closed(await balance(TARGET))


@pytest.mark.parametrize("layer", [BalanceOf(), BalanceOf(load=PendingLoad()), BalanceOf(max_wait=None)])
async def test_it_keeps_the_contracts_of_a_layer(layer: Layer) -> None:
    await check_layer(layer, transparent=True, may_refuse=NoEndpoints)


# --- which one --------------------------------------------------------------------------------------------------------


async def test_equal_endpoints_share_the_dials() -> None:
    """tower balance/p2c/test.rs: two endpoints of one load are both used."""
    leaves = [Leaf() for _ in range(3)]
    balance = Balance(leaves, load=PendingLoad(), rng=Random(1).random)
    await dialled(balance, 300)
    assert all(70 < len(leaf.calls) < 130 for leaf in leaves)


async def test_open_streams_count_until_they_end() -> None:
    one, other = Leaf(), Leaf()
    balance = Balance({"one": one, "other": other}, load=PendingLoad(), rng=FIRST)
    held = [await balance(TARGET) for _ in range(4)]
    assert (one.open, other.open) == (2, 2)
    for stream in one.streams:
        await closed(stream)
    assert balance.endpoints["one"].streams == 0
    held += [await balance(TARGET) for _ in range(2)]
    assert (one.open, other.open) == (2, 2)
    for stream in held:
        await closed(stream)
    assert [state.streams for state in balance.endpoints.values()] == [0, 0]


async def test_a_stream_that_breaks_is_closed_twice_or_closed_by_force_ends_its_load_once() -> None:
    leaf = Leaf()
    balance = Balance([leaf])
    stream = await balance(TARGET)
    await anyio.aclose_forcefully(stream)
    await closed(stream)
    assert balance.endpoints[0].streams == 0


async def test_our_own_stream_is_not_wrapped_and_a_foreign_one_is() -> None:
    leaf = Leaf()
    stream = await Balance([leaf])(TARGET)
    assert stream is leaf.streams[0]
    connector, handle = mock_connector()
    async with anyio.create_task_group() as tasks:

        async def answer() -> None:
            (await handle.next()).accept()

        tasks.start_soon(answer)
        foreign = await Balance([connector])(TARGET)
    assert isinstance(foreign, WrappedStream)
    await closed(foreign)
    await closed(stream)


async def test_a_slow_endpoint_gets_few_dials_and_is_tried_again_later() -> None:
    fast, slow = Leaf(seconds=1 / 64), Leaf(seconds=[2.0, 2.0, 1 / 64])
    balance = Balance([slow, fast], load=PeakEwma(decay=10.0), rng=FIRST)
    await dialled(balance, 50)
    assert len(slow.calls) == 1
    await anyio.sleep(100.0)
    await dialled(balance, 4)
    assert len(slow.calls) > 1


async def test_an_endpoint_that_hangs_is_left_alone_before_anything_times_out() -> None:
    """A black hole answers nothing, so that an average of answers keeps its last, good value."""
    hole, good = Leaf(seconds=[0.25, 1000.0]), Leaf(seconds=0.5)
    balance = Balance([hole, good], rng=FIRST)
    await dialled(balance, 2)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(dialled, balance, 1)
            await anyio.sleep(1.0)
        assert len(hole.calls) < 5
        tasks.cancel_scope.cancel()
    assert [state.dialling for state in balance.endpoints.values()] == [0, 0]


async def test_dials_that_a_timeout_above_cut_off_count_as_slow() -> None:
    hole, good = Leaf(seconds=[0.25, 1000.0]), Leaf(seconds=0.5)
    balance = Balance([hole, good], rng=FIRST)
    await dialled(balance, 2)
    limited = TimeoutLayer(5.0).layer(balance)
    with pytest.raises(ConnectTimeout):
        await limited(TARGET)
    before = len(hole.calls)
    await dialled(limited, 5)
    assert len(hole.calls) == before


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_a_dead_endpoint_fails_no_dial_while_another_works() -> None:
    """tonic #2839: a dead endpoint counts as ready, is drawn, and the call fails."""
    dead, good = Leaf(*refused()), Leaf()
    balance = Balance({"dead": dead, "good": good}, backoff=EVEN, rng=FIRST)
    for _ in range(20):
        stream = await balance(TARGET)
        await closed(stream)
    assert len(dead.calls) == 1
    assert len(good.calls) == 20


async def test_the_ledger_tells_the_failed_endpoint_from_the_used_one() -> None:
    dead, good = Leaf(*refused()), Leaf()
    stream = await Balance({"dead": dead, "good": good}, rng=FIRST)(TARGET)
    phases = stream.extra(DialAttribute.ledger).phases
    assert [(entry.branch, entry.outcome, entry.discarded) for entry in phases] == [
        ("dead", "failed", True),
        ("good", "ok", False),
    ]
    await closed(stream)


async def test_a_failed_endpoint_comes_back_and_is_not_dropped_for_ever() -> None:
    """tower drops a failed endpoint until it is inserted again; grpc #11643: round_robin lost one after the other."""
    ill, good = Leaf(*refused(2), None), Leaf()
    balance = Balance({"ill": ill, "good": good}, backoff=EVEN, load=PendingLoad(), rng=FIRST)
    for _ in range(80):
        await dialled(balance, 1)
        await anyio.sleep(0.125)
    assert ill.calls[:3] == [0.0, 1.0, 3.0]
    assert len(ill.calls) > 20
    assert balance.endpoints["ill"].failures == 0


async def test_it_comes_back_without_any_dial_in_between() -> None:
    """grpc #26754 and tower #824: an endpoint made progress only when a request drove it."""
    ill = Leaf(*refused(), None)
    balance = Balance([ill], backoff=EVEN, max_wait=0.0)
    with pytest.raises(ConnectRefused):
        await balance(TARGET)
    await anyio.sleep(1.0)
    assert balance.endpoints[0].retry_in == 0.0
    await dialled(balance, 1)


async def test_all_failed_at_once_is_one_error_of_one_line() -> None:
    with pytest.raises(AllFailed) as caught:
        await Balance([Leaf(*refused()), Leaf(ConnectError("no route"))], rng=FIRST)(TARGET)
    assert [type(error) for error in caught.value.errors] == [ConnectRefused, ConnectError]
    assert caught.value.__cause__ is caught.value.errors[-1]
    assert "2 endpoints failed: connection refused; no route" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_only_endpoints_error_is_its_own() -> None:
    error = ConnectError("no")
    with pytest.raises(ConnectError) as caught:
        await Balance([Leaf(error)])(TARGET)
    assert caught.value is error


async def test_without_failover_the_first_failure_is_the_dials() -> None:
    dead, good = Leaf(*refused()), Leaf()
    balance = Balance([dead, good], failover=False, rng=FIRST)
    with pytest.raises(ConnectRefused):
        await balance(TARGET)
    assert not good.calls
    await dialled(balance, 1)


async def test_a_retry_above_meets_the_next_endpoint() -> None:
    dead, good = Leaf(*refused()), Leaf()
    balance = Balance([dead, good], failover=False, rng=FIRST)
    stream = await RetryLayer(RetryPolicy(2, backoff=Backoff(0.5, jitter=0.0))).layer(balance)(TARGET)
    assert (len(dead.calls), len(good.calls)) == (1, 1)
    await closed(stream)


@pytest.mark.parametrize("error", [LimitExceeded("full"), RouteRefused("not here")])
async def test_a_limit_or_a_filter_of_an_endpoint_is_passed_over_and_does_not_tell_against_it(error: Exception) -> None:
    busy, good = Leaf(error), Leaf()
    balance = Balance([busy, good], load=PendingLoad(), rng=FIRST)
    await dialled(balance, 3)
    assert (len(busy.calls), len(good.calls)) == (3, 3)
    assert balance.endpoints[0].failures == 0


async def test_a_bug_passes_through_and_does_not_tell_against_the_endpoint() -> None:
    error = ZeroDivisionError("bug")
    balance = Balance([Leaf(error), Leaf()], rng=FIRST)
    with pytest.raises(ZeroDivisionError) as caught:
        await balance(TARGET)
    assert caught.value is error
    assert (balance.endpoints[0].failures, balance.endpoints[0].dialling) == (0, 0)


async def test_is_failure_decides_what_tells_against_an_endpoint() -> None:
    """Two proxies: a target that one of them cannot reach must not take both proxies out of use."""

    def never(error: Exception) -> bool:
        return False

    balance = Balance([Leaf(*refused())], is_failure=never)
    for _ in range(3):
        with pytest.raises(ConnectRefused):
            await balance(TARGET)
    assert balance.endpoints[0].failures == 0


async def test_an_is_failure_that_raises_holds_nothing() -> None:
    def wrong(error: Exception) -> bool:
        raise ValueError("a bug in is_failure")

    balance = Balance([Leaf(*refused())], is_failure=wrong)
    with pytest.raises(ValueError, match="a bug"):
        await balance(TARGET)
    assert balance.endpoints[0].dialling == 0


async def test_a_burst_of_failures_backs_off_once() -> None:
    leaf = Leaf(*refused(50), seconds=1.0)
    balance = Balance([leaf], backoff=EVEN, max_wait=0.0)

    async def fail() -> None:
        with pytest.raises(ConnectRefused):
            await balance(TARGET)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(fail)
    assert balance.endpoints[0].failures == 1
    assert balance.endpoints[0].retry_in == pytest.approx(1.0)


async def test_one_dial_probes_an_endpoint_that_has_failed_and_the_others_follow_when_it_succeeds() -> None:
    """A server that has just started would be met by every dial that has waited for it."""
    leaf = Leaf(*refused(), None, seconds=[0.0, 1.0])
    balance = Balance([leaf], backoff=EVEN)
    with pytest.raises(ConnectRefused):
        await balance(TARGET)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(dialled, balance, 1)
        await anyio.sleep(1.5)
        assert leaf.running == 1
        await anyio.sleep(1.0)
        assert leaf.running > 1
    assert len(leaf.calls) == 101


async def test_a_probe_that_is_cancelled_hands_over_to_the_next_dial() -> None:
    leaf = Leaf(*refused(), None, seconds=[0.0, 100.0, 0.0])
    balance = Balance([leaf], backoff=EVEN)
    with pytest.raises(ConnectRefused):
        await balance(TARGET)
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def probe() -> None:
            with scope:
                await balance(TARGET)

        tasks.start_soon(probe)
        await anyio.sleep(2.0)
        tasks.start_soon(dialled, balance, 1)
        await anyio.wait_all_tasks_blocked()
        assert len(leaf.calls) == 2
        scope.cancel()
    assert len(leaf.calls) == 3


async def test_an_endpoint_that_is_back_is_not_flooded() -> None:
    """Envoy's slow start: with the fewest streams, it would get every dial."""
    back, warm = Leaf(*refused(), None, seconds=[0.0, 1.0]), Leaf(seconds=1.0)
    balance = Balance({"warm": warm}, load=PendingLoad(), backoff=EVEN, rng=FIRST)
    held = [await balance(TARGET) for _ in range(20)]
    balance.insert("back", back)
    running: list[int] = []

    async def one() -> None:
        held.append(await balance(TARGET))

    await one()
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            await anyio.sleep(1.0)
            for _ in range(50):
                tasks.start_soon(one)
            await anyio.sleep(0.5)
            running.append(back.running)
    assert running == [1, 2, 4, 8]
    assert len(held) == 221
    for stream in held:
        await closed(stream)


async def test_a_dial_that_succeeds_and_never_speaks_http2_tells_against_the_endpoint() -> None:
    """A proxy that accepts everything, in front of a server that is gone."""
    hollow, good = Leaf(), Leaf()
    balance = Balance([hollow, good], load=PendingLoad(), backoff=EVEN, rng=FIRST)

    async def speak() -> None:
        with dial(TARGET):
            await closed(await balance(TARGET))
            raise ConnectError("no SETTINGS")

    with pytest.raises(ConnectError, match="no SETTINGS"):
        await speak()
    assert balance.endpoints[0].failures == 1
    await dialled(balance, 3)
    assert len(hollow.calls) == 1


async def test_a_cancelled_dial_is_no_failure() -> None:
    leaf = Leaf(seconds=100.0)
    balance = Balance([leaf])
    with anyio.move_on_after(1.0):
        await balance(TARGET)
    state = balance.endpoints[0]
    assert (state.failures, state.dialling, state.streams) == (0, 0, 0)


class Failing:
    """A leaf that keeps no error."""

    async def __call__(self, uri: Uri, /) -> ByteStream:
        raise ConnectError("no")


@pytest.mark.parametrize("count", [1, 3])
async def test_it_leaves_no_cycle(count: int) -> None:
    """The traceback of an endpoint's error refers to the frame that keeps the errors."""
    gc.collect()
    gc.disable()
    try:
        leaves = [Failing() for _ in range(count)]
        alive = [weakref.ref(leaf) for leaf in leaves]
        with pytest.raises(AllFailed if count > 1 else ConnectError):
            await Balance(leaves)(TARGET)
        leaves.clear()
        assert [leaf() for leaf in alive] == [None] * count
    finally:
        gc.enable()


# --- nothing to dial --------------------------------------------------------------------------------------------------


async def test_while_all_have_failed_a_dial_waits_for_the_first_to_come_back() -> None:
    """grpc-java #6650 the other way round: if none comes back in time, the dial fails at once, and says why."""
    balance = Balance([Leaf(*refused(3), None)], backoff=EVEN, max_wait=2.5)
    start = anyio.current_time()
    for wait in (0.0, 1.0, 2.0):
        with pytest.raises(ConnectRefused):
            await balance(TARGET)
        assert anyio.current_time() - start == pytest.approx(wait)
        start = anyio.current_time()
    with pytest.raises(NoEndpoints, match="all 1 endpoints have failed; 0 is tried again in 4") as caught:
        await balance(TARGET)
    assert anyio.current_time() == start
    assert caught.value.phase == "admission"
    assert caught.value.transient
    assert "connection refused" in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectRefused)


async def test_an_empty_balance_fails_after_its_bound_and_not_before() -> None:
    """tower waits for ever."""
    start = anyio.current_time()
    with pytest.raises(NoEndpoints, match=r"there was no endpoint within 2.5 s"):
        await Balance({}, max_wait=2.5)(TARGET)
    assert anyio.current_time() - start == pytest.approx(2.5)
    with pytest.raises(NoEndpoints, match="there are no endpoints"):
        await Balance({}, max_wait=0.0)(TARGET)


async def test_a_dial_waits_for_an_endpoint_to_be_inserted() -> None:
    balance, leaf = Balance({}, max_wait=None), Leaf()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(dialled, balance, 1)
        await anyio.sleep(500.0)
        balance.insert("late", leaf)
    assert len(leaf.calls) == 3


async def test_the_wait_ends_when_a_probe_fails() -> None:
    leaf = Leaf(*refused(9), seconds=[0.0, 5.0])
    balance = Balance([leaf], backoff=Backoff(1.0, factor=100.0, jitter=0.0, maximum=100.0), max_wait=10.0)
    outcomes = Counter[type]()

    async def one() -> None:
        try:
            await balance(TARGET)
        except ConnectError as error:
            outcomes[type(error)] += 1

    await one()
    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert outcomes == {ConnectRefused: 2, NoEndpoints: 9}
    assert anyio.current_time() - start == pytest.approx(6.0)  # and not the ten seconds of max_wait


async def test_a_dial_waits_for_a_probe_although_the_others_are_out_for_long() -> None:
    slow, dead = Leaf(*refused(), None, seconds=[0.0, 5.0, 0.0]), Leaf(*refused(2))
    balance = Balance({"dead": dead}, backoff=Backoff(1.0, factor=100.0, jitter=0.0), max_wait=10.0)
    for _ in range(2):
        with pytest.raises(ConnectRefused):
            await balance(TARGET)
    balance.insert("slow", slow)
    with pytest.raises(ConnectRefused):
        await balance(TARGET)
    assert balance.endpoints["dead"].retry_in == pytest.approx(100.0)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(dialled, balance, 1)
    assert (len(slow.calls), len(dead.calls)) == (4, 2)


# --- changes ----------------------------------------------------------------------------------------------------------


class Source:
    """An async iterator that a test drives."""

    def __init__(self) -> None:
        self._waiting: deque[Change | Exception | None] = deque()
        self._more = anyio.Event()

    async def changes(self) -> AsyncIterator[Change]:
        while True:
            while not self._waiting:
                await self._more.wait()
            change = self._waiting.popleft()
            if change is None:
                return
            if isinstance(change, Exception):
                raise change
            yield change

    async def say(self, *changes: Change | Exception | None) -> None:
        """Yield changes, raise an exception, or end with ``None``."""
        self._waiting += changes
        self._more.set()
        self._more = anyio.Event()
        await anyio.wait_all_tasks_blocked()


async def test_changes_apply_while_nobody_dials() -> None:
    """tower #824 and linkerd2 #6842: updates were read only when a request came."""
    source, leaf = Source(), Leaf()
    async with Balance(source.changes()) as balance:
        await source.say(Insert("a", leaf), Insert("b", leaf), Remove("a"))
        assert list(balance.endpoints) == ["b"]
        await source.say(None)
        await dialled(balance, 1)  # the end of the iterator is no reason to stop
    await dialled(balance, 1)  # nor is the end of the block
    assert balance.feed_error is None


async def test_a_balance_that_nobody_runs_says_so() -> None:
    with pytest.raises(RuntimeError, match="use it inside `async with balance:`"):
        await Balance(Source().changes())(TARGET)


async def test_the_failure_of_the_iterator_keeps_what_is_known_and_is_told_when_nothing_is() -> None:
    """linkerd2 #15271: discovery died silently."""
    source, leaf = Source(), Leaf()
    async with Balance(source.changes(), max_wait=0.0) as balance:
        await source.say(Insert("a", leaf), ValueError("registry gone"))
        await dialled(balance, 1)
        assert isinstance(balance.feed_error, ValueError)
        balance.remove("a")
        with pytest.raises(NoEndpoints, match="their iterator raised ValueError: registry gone") as caught:
            await balance(TARGET)
        assert isinstance(caught.value.__cause__, ValueError)


async def test_an_iterator_that_ends_empty_is_named() -> None:
    source = Source()
    async with Balance(source.changes(), max_wait=0.0) as balance:
        await source.say(None)
        with pytest.raises(NoEndpoints, match="their iterator has ended"):
            await balance(TARGET)


async def test_what_the_block_raises_is_raised_and_the_iterator_is_closed() -> None:
    done: list[bool] = []

    async def changes() -> AsyncIterator[Change]:
        try:
            await anyio.sleep_forever()
            yield Remove("a")
        finally:
            done.append(True)

    async def block() -> None:
        async with Balance(changes()):
            await anyio.wait_all_tasks_blocked()
            raise ValueError("the block's")

    with pytest.raises(ValueError, match="the block's"):
        await block()
    assert done == [True]


async def test_it_runs_once_at_a_time() -> None:
    async with Balance(Source().changes()) as balance:
        with pytest.raises(RuntimeError, match="already running"):
            await balance.__aenter__()


async def test_removing_the_chosen_endpoint_redirects_nothing() -> None:
    """tower #856: the choice was a position in a list, at which another endpoint stood after a removal."""
    (first, one), (second, two), third = mock_connector(), mock_connector(), Leaf()
    balance = Balance({"a": first, "b": second, "c": third}, load=PendingLoad(), rng=FIRST)
    streams: list[ByteStream] = []

    async def one_dial() -> None:
        streams.append(await balance(TARGET))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one_dial)
        request = await one.next()
        balance.remove("a")
        far = request.accept()
    assert not two.requests
    assert not third.calls
    await far.send(b"from a")
    assert await streams[0].receive() == b"from a"
    await closed(streams[0])
    assert list(balance.endpoints) == ["b", "c"]


async def test_a_key_replaced_while_it_is_dialled_starts_afresh() -> None:
    old, new = Leaf(*refused(), seconds=1.0), Leaf()
    balance = Balance({"a": old}, backoff=EVEN, failover=False)

    async def lose() -> None:
        with pytest.raises(ConnectRefused):
            await balance(TARGET)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lose)
        await anyio.sleep(0.5)
        balance.insert("a", new)
        assert balance.endpoints["a"].dialling == 0
        await dialled(balance, 1)
    assert balance.endpoints["a"].failures == 0  # the old one's failure is not the new one's
    assert len(new.calls) == 1


async def test_a_dial_goes_on_with_an_endpoint_that_came_meanwhile() -> None:
    old, new = Leaf(*refused(), seconds=1.0), Leaf()
    balance = Balance({"a": old})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dialled, balance, 1)
        await anyio.sleep(0.5)
        balance.insert("b", new)
    assert len(new.calls) == 1


async def test_random_changes_never_dial_a_removed_endpoint_and_leave_nothing_behind() -> None:
    """tower balance/main.rs: add, remove and fail at random."""
    random = Random(7)
    leaves = {key: Leaf(None, *refused(), None, None, seconds=random.choice([0.0, 0.125, 1.0])) for key in range(8)}
    balance = Balance(
        {}, backoff=Backoff(0.5, factor=2.0, jitter=0.0), load=PendingLoad(), rng=random.random, max_wait=1.0
    )
    present: set[int] = set()
    wrong: list[int] = []

    def guarded(key: int) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            if key not in present:
                wrong.append(key)
            return await leaves[key](uri)

        return connect

    connectors = {key: guarded(key) for key in leaves}

    async def one() -> None:
        with anyio.move_on_after(random.choice([0.0625, 0.5, 5.0])):
            try:
                stream = await balance(TARGET)
            except ConnectError:
                return
            try:
                await anyio.sleep(random.randrange(16) / 16)
            finally:
                await anyio.aclose_forcefully(stream)

    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            key = random.randrange(8)
            if key in present:
                present.discard(key)
                balance.remove(key)
            else:
                present.add(key)
                balance.insert(key, connectors[key])
            tasks.start_soon(one)
            await anyio.sleep(0.0625)
    assert not wrong
    assert all(state.dialling == state.streams == 0 for state in balance.endpoints.values())
    assert sum(leaf.open for leaf in leaves.values()) == 0
    assert sum(len(leaf.calls) for leaf in leaves.values()) > 200


# --- the rest ---------------------------------------------------------------------------------------------------------


async def test_layers_above_and_below_see_a_dial_each() -> None:
    leaf = Leaf()
    below = ServiceBuilder().logging().timeout(1.0).service(leaf)
    stream = await LoggingLayer().layer(Balance({"a": below}))(TARGET)
    assert stream is leaf.streams[0]
    await closed(stream)


@pytest.mark.parametrize(
    ("endpoints", "settings", "kind", "message"),
    [
        ([None], {}, TypeError, "a connector is an async callable"),
        ({"a": Leaf}, {}, TypeError, "Leaf is a class"),
        ([], {"max_wait": -1.0}, ValueError, "max_wait must be 0 or a positive number of seconds or None, not -1.0"),
        ([], {"failover": 1}, TypeError, "failover must be True or False"),
    ],
)
def test_wrong_arguments_are_refused(
    endpoints: Any, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        Balance(endpoints, **settings)


def test_repr_shows_a_few_keys_and_the_settings() -> None:
    assert repr(Balance({})) == "Balance(no endpoint; PeakEwma(decay=10.0), max_wait=10.0)"
    many = {f"10.0.0.{number}:80": Leaf() for number in range(6)}
    assert repr(Balance(many, load=PendingLoad(), max_wait=None)) == (
        "Balance(10.0.0.0:80, 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 and 2 more; PendingLoad(), max_wait=None)"
    )
