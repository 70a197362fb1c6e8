"""The node's onion service: when it can be found, and when no longer."""

from __future__ import annotations

import anyio
import pytest

from tests.node.tor.control_port import SERVICE, ControlPort
from tests.node.tor.links import ONION, running, shown

pytestmark = pytest.mark.asyncio_only


async def test_a_service_is_published_only_when_it_can_be_found() -> None:
    port, names = ControlPort(), list[str]()
    async with running(port) as (link, logs):
        link.onion.publish(ONION, names.append)
        await anyio.wait_all_tasks_blocked()
        assert shown(logs)[2:] == ["onion.publishing"]
        assert names == [f"{SERVICE}.onion:16111"]  # known at once, so that nobody dials it
        await port.upload("UPLOAD", 0, 0)
        await port.upload("UPLOADED", 0)
        assert link.onion.name is None
        await port.upload("UPLOAD", 1, 1)
        assert link.onion.name is None
        await port.upload("UPLOADED", 1)

        assert link.onion.name == f"{SERVICE}.onion"
    assert shown(logs)[2:] == ["onion.publishing", "onion.published"]
    assert logs[-1]["onion"] == f"{SERVICE}.onion:16111"
    assert "ED25519-V3" not in str(logs) + repr(ONION)


async def test_a_service_that_cannot_be_uploaded_is_a_warning_with_the_reason() -> None:
    port = ControlPort()
    async with running(port) as (link, logs):
        link.onion.publish(ONION)
        await anyio.wait_all_tasks_blocked()
        await port.upload("UPLOAD", 0, 0)
        await port.upload("FAILED", 0, more=" REASON=UPLOAD_REJECTED")
        await anyio.sleep(1000)
        assert link.onion.name is None
        await port.upload_all()
        assert link.onion.name == f"{SERVICE}.onion"

    assert [each["log_level"] for each in logs[2:]] == ["info", "warning", "info"]
    assert logs[3]["error"] == "UPLOAD_REJECTED"


async def test_a_refused_service_is_said_once_and_tried_again() -> None:
    """After a restart the old service may live for a moment."""
    port = ControlPort(refuses={"ADD_ONION": "550 Onion address collision"})
    async with running(port) as (link, logs):
        link.onion.publish(ONION)
        await anyio.sleep(30)
        assert (shown(logs)[2:], link.status.is_up) == (["onion.publishing"], True)
        port.refuses.clear()
        await anyio.sleep(30)
        await port.upload_all()

        assert link.onion.name == f"{SERVICE}.onion"


async def test_uploads_that_begin_before_the_name_is_known_count() -> None:
    port = ControlPort(silent=frozenset({"ADD_ONION"}))
    async with running(port) as (link, _):
        link.onion.publish(ONION)
        await anyio.wait_all_tasks_blocked()
        await port.upload("UPLOAD", 0, 0)
        await port.upload("UPLOAD", 1, 1)
        await port.upload("UPLOADED", 0)
        assert port.far is not None
        await port.far.send(f"250-ServiceID={SERVICE}\r\n250 OK\r\n".encode())
        await anyio.wait_all_tasks_blocked()
        await port.upload("UPLOADED", 1)

        assert link.onion.name == f"{SERVICE}.onion"


async def test_later_uploads_that_all_fail_are_a_warning_and_the_next_good_ones_end_it() -> None:
    """onionpress#209, #266: Tor uploads again each hour, and what was uploaded before ends after three."""
    port = ControlPort()
    async with running(port) as (link, logs):
        link.onion.publish(ONION)
        await anyio.wait_all_tasks_blocked()
        await port.upload_all()
        del logs[:]
        await anyio.sleep(3600)
        await port.upload("UPLOAD", 0, 0)
        await port.upload("UPLOAD", 1, 0)
        await port.upload("FAILED", 0, more=" REASON=UPLOAD_REJECTED")
        assert logs == []
        await port.upload("UPLOADED", 1)
        assert logs == []  # one directory has it

        await port.upload("UPLOAD", 0, 0)
        await port.upload("FAILED", 0, more=" REASON=UPLOAD_REJECTED")
        assert shown(logs) == ["onion.publishing"]
        assert (logs[0]["log_level"], logs[0]["error"]) == ("warning", "UPLOAD_REJECTED")
        assert link.onion.name == f"{SERVICE}.onion"  # the last good upload is still there
        await anyio.sleep(60)
        await port.upload_all()

    assert shown(logs) == ["onion.publishing", "onion.published"]
    assert round(logs[1]["elapsed"]) == 60
