"""The ledger of a dial."""

from __future__ import annotations

import pickle

import anyio
import pytest

from tests.services.dials import TARGET
from ziggurat.services import (
    ConnectTimeout,
    dial,
    phase,
)


async def test_the_time_of_a_running_dial_grows() -> None:
    with dial(TARGET) as current:
        await anyio.sleep(2)

        assert round(current.ledger.elapsed, 6) == 2


async def test_a_note_is_a_phase_that_took_no_time() -> None:
    with dial(TARGET) as current:
        await anyio.sleep(1)
        current.ledger.note("keepalive", "no socket", via="proxy")

    (entry,) = current.ledger.phases
    assert (entry.name, entry.note, entry.via, entry.elapsed, entry.outcome) == (
        "keepalive",
        "no socket",
        "proxy",
        0.0,
        "ok",
    )
    assert round(entry.start, 6) == 1


async def test_a_copy_of_a_running_ledger_does_not_run_on() -> None:
    with dial(TARGET) as current:
        with phase("tcp"):
            await anyio.sleep(1.0)
        kept = pickle.loads(pickle.dumps(current.ledger))
        await anyio.sleep(1.0)

    assert kept.elapsed == pytest.approx(1.0)
    assert not kept.running
    assert [entry.name for entry in kept.phases] == ["tcp"]


async def test_a_snapshot_does_not_run_on_and_includes_running_phases() -> None:
    with dial(TARGET) as current:
        with phase("tcp"):
            await anyio.sleep(1)
        with phase("tls"):
            await anyio.sleep(2)
            taken = current.ledger.snapshot()
            await anyio.sleep(4)

    assert str(taken) == "tcp 1.00 s, tls 2.00 s"
    assert [entry.outcome for entry in taken.phases] == ["ok", "running"]
    assert not taken.running
    assert taken.elapsed == pytest.approx(3)
    assert current.ledger.phases[1].elapsed == pytest.approx(6)


async def test_the_reason_for_giving_up_is_kept_without_a_cycle() -> None:
    with dial(TARGET) as current:
        error = ConnectTimeout(1.0, "call deadline")
        error.ledger = current.ledger
        current.ledger.give_up(error)

    assert isinstance(current.ledger.error, ConnectTimeout)
    assert current.ledger.error.ledger is None
    assert error.ledger is current.ledger
