"""Exceptions that nothing handles are events, without a traceback and without the data in a callback's arguments."""

from __future__ import annotations

import asyncio
import sys
import threading

import anyio
import pytest
from structlog.testing import capture_logs

from ziggurat.node.daemon.unhandled import UnhandledErrors

pytestmark = pytest.mark.asyncio_only


def fail(*arguments: object) -> None:
    raise ValueError("broken")


async def test_an_exception_in_a_callback_is_told_with_its_place_and_without_its_arguments() -> None:
    with capture_logs() as logged, UnhandledErrors().reported():
        asyncio.get_running_loop().call_soon(fail, "hunter2")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    (event,) = logged

    assert (event["event"], event["log_level"]) == ("error.unhandled", "warning")
    assert event["message"] == "an exception in a callback"
    assert event["error"] == "ValueError('broken')"
    assert event["where"].startswith(f"{__file__}:")
    assert "hunter2" not in repr(event)


async def test_what_is_no_exception_is_told_as_well() -> None:
    with capture_logs() as logged, UnhandledErrors().reported():
        asyncio.get_running_loop().call_exception_handler({"message": "unclosed transport <hunter2>"})
    (event,) = logged

    assert (event["message"], event["error"], event["where"]) == ("unclosed transport", None, None)


async def test_a_storm_is_one_line_a_second_and_a_count() -> None:
    now = 0.0
    with capture_logs() as logged:
        errors = UnhandledErrors(clock=lambda: now)
        for _ in range(1000):
            errors.write("again", ValueError())
            errors.write("another", ValueError())
        now = 1.0
        errors.write("again", ValueError())

    assert [(event["message"], event["more"]) for event in logged] == [
        ("again", None),
        ("another", None),
        ("again", 999),
    ]


async def test_threads_and_destructors_are_told_while_it_runs_and_not_after() -> None:
    class Bad:
        def __del__(self) -> None:
            raise RuntimeError("in a destructor")

    before = threading.excepthook, sys.unraisablehook
    with capture_logs() as logged:
        with UnhandledErrors().reported():
            for target in (fail, sys.exit):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
            Bad()
        assert (threading.excepthook, sys.unraisablehook) == before

    assert [event["error"] for event in logged] == ["ValueError('broken')", "RuntimeError('in a destructor')"]


async def test_many_kinds_of_errors_take_no_more_memory() -> None:
    errors = UnhandledErrors()
    with capture_logs():
        for number in range(1000):
            errors.write(f"kind {number}", None)

    assert len(errors._kinds) <= 100
