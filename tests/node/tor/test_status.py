from __future__ import annotations

import anyio
import pytest
from structlog.testing import capture_logs

from ziggurat.node.tor import Bootstrap, TorStatus

pytestmark = pytest.mark.asyncio_only

STEP = Bootstrap(50, "loading", "Loading")


async def test_each_step_is_said_once_and_what_hinders_it_is_a_warning() -> None:
    status = TorStatus("c:1")
    with capture_logs() as logs:
        for step in (STEP, STEP, Bootstrap(50, "loading", "Loading", "No route"), Bootstrap(100, "done", "Done")):
            status.bootstrap(step)

    assert [(each["log_level"], each["progress"], each["error"]) for each in logs] == [
        ("info", 50, None),
        ("warning", 50, "No route"),
        ("info", 100, None),
    ]


async def test_problems_that_take_turns_are_said_once_each() -> None:
    """WalletWasabi/WalletWasabi#13784: each of hundreds of relays times out or refuses, in turn."""
    status, timeout = TorStatus("c:1"), Bootstrap(10, "conn", "Connecting", "Connection timed out")
    with capture_logs() as logs:
        for _ in range(100):
            status.bootstrap(timeout)
            status.bootstrap(Bootstrap(10, "conn", "Connecting", "Connection refused"))
        status.up("0.4.9", None)
        status.down("lost")
        status.bootstrap(timeout)  # another start

    assert [each["event"] for each in logs] == ["tor.bootstrap"] * 2 + ["tor.up", "tor.down", "tor.bootstrap"]


async def test_one_dial_at_a_time_is_let_through_to_a_tor_that_is_not_ready() -> None:
    """ricochet-im/ricochet#245: a Tor that sleeps wakes for a request only, and the program waited for it to wake."""
    status, went = TorStatus("c:1"), list[int]()

    async def dial(number: int) -> None:
        await status.wait_up()
        went.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(dial, number)
        await anyio.wait_all_tasks_blocked()
        assert len(went) == 0
        for expected in (1, 2):
            status.let_try()
            await anyio.wait_all_tasks_blocked()
            assert len(went) == expected
        status.let_try()
        status.down("lost")
        await anyio.wait_all_tasks_blocked()
        assert len(went) == 2
        status.up("0.4.9", None)

    assert sorted(went) == [0, 1, 2, 3]


async def test_a_try_that_nobody_waited_for_is_for_who_comes_next() -> None:
    status = TorStatus("c:1")
    status.let_try()
    status.let_try()
    await status.wait_up()
    with anyio.move_on_after(60) as scope:
        await status.wait_up()

    assert scope.cancelled_caught


async def test_up_and_down_are_said_once_each_and_how_long_it_took() -> None:
    status = TorStatus("c:1")
    with capture_logs() as logs:
        status.down("refused")
        await anyio.sleep(3)
        status.down("refused")
        status.up("0.4.9", "127.0.0.1:9050")
        status.up("0.4.9", "127.0.0.1:9050")
        assert status.is_up
        await anyio.sleep(60)
        status.down("lost")
        await anyio.sleep(2)
        status.up("0.4.9", None)

    assert [(each["event"], each["log_level"], each.get("elapsed")) for each in logs] == [
        ("tor.down", "warning", None),
        ("tor.down", "debug", None),
        ("tor.up", "info", 3),
        ("tor.down", "warning", None),
        ("tor.up", "info", 2),
    ]


async def test_who_waits_is_woken_each_time() -> None:
    status = TorStatus("c:1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(status.wait_up)
        await anyio.wait_all_tasks_blocked()
        status.up("0.4.9", None)
    await status.wait_up()  # at once
    status.down("lost")
    with anyio.move_on_after(60) as scope:
        await status.wait_up()

    assert scope.cancelled_caught
