"""``kill -9`` at any moment loses no address that was logged as stored.

A real process fills its book and is killed, at a different moment each time; the next one continues with the file.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import database

pytestmark = pytest.mark.slow

ROUNDS = 10

FILL = """
import asyncio, random, sys
from ipaddress import IPv4Address
from pathlib import Path

import structlog
from ziggurat.node.address_manager import AddressManager
from ziggurat.node.address import NetAddress

structlog.configure(
    processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(sys.stdout)
)


async def main(path, start, seed):
    rng = random.Random(seed)
    book = await AddressManager.open(Path(path))
    number = start
    while True:
        # No flush: the thread commits while more addresses come in.
        count = rng.randrange(1, 4)
        book.add(NetAddress(IPv4Address((10 << 24) + n), 16111) for n in range(number, number + count))
        number += count
        await asyncio.sleep(rng.random() / 1000)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def stored_by(line: str) -> int:
    event = json.loads(line)
    return int(event["count"]) if event["event"] == "addresses.stored" else 0


def kill_at_random(path: Path, start: int, rng: random.Random) -> int:
    """Fill the book with addresses numbered from ``start``; return how many were logged as stored before the kill."""
    command = [sys.executable, "-c", FILL, str(path), str(start), str(rng.randrange(1 << 30))]
    stored = 0
    # As for the tests themselves, the package need not be installed.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            for _ in range(rng.randrange(1, 15)):
                stored += stored_by(process.stdout.readline())
            # Not always right after an event, but somewhere in the work that follows it.
            moment = time.perf_counter() + rng.random() / 200
            while time.perf_counter() < moment:
                pass
        finally:
            process.send_signal(signal.SIGKILL)
        # The output not read yet, without a last line that was cut off.
        lines = process.stdout.read().splitlines(keepends=True)
        stored += sum(stored_by(line) for line in lines if line.endswith("\n"))
    assert process.returncode == -signal.SIGKILL
    return stored


def test_no_address_logged_as_stored_is_lost_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "addresses.db"
    rng = random.Random()
    promised: set[NetAddress] = set()
    for number in range(ROUNDS):
        start = 1000 * (number + 1)
        stored = kill_at_random(path, start, rng)
        # Addresses are added in the order of their numbers, so the first ones are those stored.
        promised |= {NetAddress.parse(f"10.0.{n // 256}.{n % 256}", 16111) for n in range(start, start + stored)}
        connection = database.connect(path)
        try:
            kept = set(database.read(connection))
        finally:
            connection.close()

        assert promised <= kept, f"lost in round {number}: {sorted(map(str, promised - kept))}"

    assert len(promised) >= ROUNDS
