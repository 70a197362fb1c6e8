"""The outcome of a dial, reported to the layers below."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest

from tests.services.dials import PROXY, TARGET, failing
from ziggurat.services import AllFailed, ConnectError, ConnectRefused, ConnectTimeout, Dial, Ledger, Limit, dial, phase

Outcomes = list[BaseException | None]


async def layer(outcomes: Outcomes) -> None:
    """A successful call of a layer below, which records the outcome of the dial."""
    with dial(TARGET) as current, phase("tcp"):
        await anyio.sleep(1)
        current.on_outcome(outcomes.append)


async def test_without_an_attempt_the_end_of_the_dial_is_the_outcome() -> None:
    outcomes: Outcomes = []
    with dial(TARGET):
        await layer(outcomes)
        assert outcomes == []
    assert outcomes == [None]


async def test_a_failure_above_is_the_outcome() -> None:
    outcomes: Outcomes = []
    with failing() as caught, dial(TARGET) as current:
        await layer(outcomes)
        with phase("http2"):
            raise ConnectRefused("no")
    assert outcomes == caught
    assert current.ledger.error is not None
    assert (str(current.ledger.error), current.ledger.error.ledger) == (
        "http://target.example:80: http2 failed after 1.00 s: no",
        None,
    )


async def test_an_attempt_has_its_outcome_before_the_dial_ends() -> None:
    outcomes: Outcomes = []
    with failing(), dial(TARGET) as current:
        with current.attempt():
            await layer(outcomes)
        assert outcomes == [None]
        assert current.ledger.error is None
        with phase("handshake"):
            raise ConnectError("refused")
    assert outcomes == [None]  # the handshake failed later


async def test_each_attempt_has_its_own_outcome() -> None:
    first: Outcomes = []
    second: Outcomes = []
    with dial(TARGET) as current:
        with failing() as caught, current.attempt():
            await layer(first)
            raise ConnectRefused("once")
        assert isinstance(current.ledger.error, ConnectRefused)
        with current.attempt():
            assert current.ledger.error is None
            await layer(second)
    assert (first, second) == (caught, [None])


async def test_concurrent_attempts_do_not_mix() -> None:
    lost: Outcomes = []
    won: Outcomes = []

    async def branch(current: Dial, seconds: float, outcomes: Outcomes, error: ConnectError | None) -> None:
        try:
            with current.attempt():
                await layer(outcomes)
                await anyio.sleep(seconds)
                if error is not None:
                    raise error
        except ConnectError:
            pass

    refused = ConnectRefused("no")
    with dial(TARGET) as current:
        async with anyio.create_task_group() as group:
            group.start_soon(branch, current, 1.0, lost, refused)
            group.start_soon(branch, current, 2.0, won, None)
    assert (lost, won) == ([refused], [None])


async def test_a_task_that_outlives_an_attempt_opens_its_own_dial() -> None:
    owners: list[bool] = []
    goes_on = anyio.Event()

    async def background() -> None:
        await goes_on.wait()
        with dial(PROXY) as late:
            owners.append(late.owner)

    async with anyio.create_task_group() as group:
        with dial(TARGET) as current:
            with current.attempt():
                group.start_soon(background)
                await anyio.sleep(1)
            goes_on.set()
            await anyio.sleep(1)
    assert owners == [True]


async def test_a_cancellation_and_a_foreign_error_are_recorded_as_a_connect_error() -> None:
    with anyio.move_on_after(1), dial(TARGET) as cancelled, phase("tcp", via="p"):
        await anyio.sleep_forever()
    with pytest.raises(KeyError), dial(TARGET) as foreign, phase("mine"):
        raise KeyError("x")

    assert cancelled.ledger.error is not None
    assert str(cancelled.ledger.error) == (
        "http://target.example:80: tcp via p failed after 1.00 s: the dial was cancelled"
    )
    assert foreign.ledger.error is not None
    assert (foreign.ledger.error.phase, foreign.ledger.error.message) == ("mine", "KeyError: 'x'")


async def test_a_limit_around_the_attempt_is_its_outcome() -> None:
    outcomes: Outcomes = []
    with failing() as caught, dial(TARGET) as current, current.attempt(), Limit(3.0, "connect_timeout"):
        await layer(outcomes)
        with phase("http2"):
            await anyio.sleep_forever()
    assert outcomes == caught
    assert isinstance(outcomes[0], ConnectTimeout)
    assert outcomes[0].phase == "http2"


async def test_a_failed_dial_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        try:  # contextlib's frames, as in failing(), keep the error alive from Python 3.12 on
            with dial(TARGET) as current, phase("tcp"):
                current.on_outcome(lambda _: None)
                raise ConnectRefused("no")
        except ConnectRefused as caught:
            error = weakref.ref(caught)
        del current
        assert error() is None
    finally:
        gc.enable()


async def test_the_cause_of_a_failure_does_not_keep_the_frames_of_the_dial_alive() -> None:
    class Local:
        pass

    seen: list[weakref.ref[Local]] = []

    async def leaf() -> None:
        local = Local()
        seen.append(weakref.ref(local))
        with dial(TARGET) as below:  # refers to the ledger
            assert not below.owner
            try:
                raise OSError("the system's error")
            except OSError as error:
                raise ConnectRefused("no") from error

    gc.disable()
    try:
        ledger: Ledger | None = None
        try:
            with dial(TARGET) as current:
                ledger = current.ledger
                await leaf()
        except ConnectRefused:
            pass
        assert ledger is not None
        assert ledger.error is not None
        del current
        assert seen[0]() is None
    finally:
        gc.enable()


async def test_a_failed_trial_is_an_outcome_and_a_successful_one_is_not_yet() -> None:
    failed: Outcomes = []
    passed: Outcomes = []
    with failing() as caught, dial(TARGET) as current:
        with failing() as first, current.trial():
            await layer(failed)
            raise ConnectRefused("once")
        assert failed == first
        with current.trial():
            await layer(passed)
        assert passed == []
        with phase("http2"):
            raise ConnectError("no SETTINGS")
    assert (failed, passed) == (first, caught)


async def test_trials_nest() -> None:
    inner: Outcomes = []
    with failing() as caught, dial(TARGET) as current, current.trial():
        with dial(TARGET) as joined, joined.trial():
            await layer(inner)
        assert inner == []
        raise ConnectRefused("the outer one")
    assert inner == caught
    assert [entry.discarded for entry in current.ledger.phases] == [True]


async def test_only_the_phases_of_failed_trials_are_discarded() -> None:
    with dial(TARGET) as current:
        with failing(), current.trial(), phase("tcp"):
            raise ConnectRefused("once")
        with current.trial(), phase("tcp"):
            pass
    assert [entry.discarded for entry in current.ledger.phases] == [True, False]


async def test_a_failed_trial_is_not_the_error_of_the_dial() -> None:
    with dial(TARGET) as current:
        with failing(), current.trial():
            raise ConnectRefused("once")
        assert current.ledger.error is None


async def test_the_record_of_all_errors_refers_to_no_ledger() -> None:
    with failing(), dial(TARGET) as current:
        with failing() as caught, current.trial():
            raise ConnectRefused("once")
        raise AllFailed("all failed", caught) from caught[0]
    recorded = current.ledger.error
    assert isinstance(recorded, AllFailed)
    assert [each.ledger for each in (recorded, *recorded.errors)] == [None, None]
    assert caught[0].ledger is current.ledger
