from __future__ import annotations

import anyio
import pytest

from ziggurat.node.inbound.refusal_log import RefusalLog

pytestmark = pytest.mark.asyncio_only


async def test_a_storm_of_refusals_is_one_line_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = RefusalLog()
    for number in range(1000):
        log.write(f"10.0.0.1:{number}", "too many")
    log.write("10.0.0.1:5", "another reason")
    await anyio.sleep(5)
    log.write("10.0.0.1:6", "too many")

    lines = [line for line in caplog.messages if "peer.refused" in line]
    assert len(lines) == 4
    assert "peer=10.0.0.1:0" in lines[0]
    assert "more" not in lines[0]
    assert "another reason" in lines[1]
    assert "peer=10.0.0.1:999" in lines[2]
    assert "more=998" in lines[2]
    assert "peer=10.0.0.1:6" in lines[3]


async def test_a_lasting_storm_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = RefusalLog()
    for number in range(100):
        log.write("10.0.0.1:5", f"reason {number}", kind="network")
        await anyio.sleep(0.1)
    assert 10 <= sum("peer.refused" in line for line in caplog.messages) <= 12
