"""The repr of a phase shows its name, via, time and outcome; labels number attempts and name branches."""

from __future__ import annotations

import anyio
import pytest

from ziggurat.services.dial import dial, phase
from ziggurat.services.phase import Phase, current_label, label
from ziggurat.services.uri import Uri


def test_the_repr_of_a_running_phase() -> None:
    entry = Phase("tcp", None, None, 0.0)

    assert (entry.outcome, entry.elapsed, entry.note) == ("running", None, None)
    assert repr(entry) == "Phase(tcp: running)"


def test_the_repr_of_a_finished_phase() -> None:
    entry = Phase("proxy.connect", "proxy:1080", 2.0, 0.5)
    entry.elapsed, entry.outcome = 1.25, "failed"

    assert repr(entry) == "Phase(proxy.connect via proxy:1080: 1.250 s, failed)"


async def test_labels_mark_the_phases_that_begin_in_them() -> None:
    async def branch(name: str) -> None:
        with label(branch=name), phase("tcp"):
            await anyio.sleep(1)

    with dial(Uri("http", "target.example", 80)) as current:
        with phase("admission"):
            pass
        with label(attempt=2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(branch, "a")
            with label(branch="b"), label(branch="c"):
                current.ledger.note("keepalive", "skipped")
        with phase("tls"):
            pass

    assert [(each.name, each.attempt, each.branch) for each in current.ledger.phases] == [
        ("admission", None, None),
        ("tcp", 2, "a"),
        ("keepalive", 2, "b/c"),
        ("tls", None, None),
    ]


def test_the_current_label_is_what_a_phase_would_get() -> None:
    assert current_label() == (None, None)
    with label(attempt=2, branch="a"), label(branch="b"):
        assert current_label() == (2, "a/b")
    assert current_label() == (None, None)


@pytest.mark.parametrize(
    ("via", "host", "asked", "verified"),
    [
        ("a.example", None, "a.example", True),
        ("a.example", None, "a.example.", True),
        ("fe80::1", None, "fe80::1%eth0", True),
        ("a.example", None, "b.example", False),
        ("a.example", "b.example", "b.example", True),
        ("a.example", "b.example", "a.example", False),
        (None, None, "a.example", False),
    ],
)
def test_tls_has_verified_the_host_that_it_was_asked_for(
    via: str | None, host: str | None, asked: str, verified: bool
) -> None:
    entry = Phase("tls", via, None, 0.0)
    entry.host, entry.outcome = host, "ok"
    assert entry.verified(asked) is verified

    entry.outcome = "failed"
    assert not entry.verified(asked)
    entry.outcome, entry.discarded = "ok", True
    assert not entry.verified(asked)
    entry.name, entry.discarded = "tcp", False
    assert not entry.verified(asked)
