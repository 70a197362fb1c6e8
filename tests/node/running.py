"""Run the command as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

ROOT = Path(__file__).parents[2]
EVENT_TIMEOUT = 20.0
"""Seconds to wait for an event; enough on a busy machine."""

COMMAND = (sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-m", "ziggurat.node")
"""In development mode, so that unclosed resources are reported."""


AUDITED_COMMAND = (
    *(sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c"),
    """
import json, sys

def report(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.bind"}:
        sys.stderr.write(json.dumps({"event": f"audit.{event}", "what": [str(part) for part in arguments[-1:]]
            if event in {"socket.connect", "socket.bind"} else [str(part) for part in arguments]}) + chr(10))

sys.addaudithook(report)
from ziggurat.node.cli.command import main
sys.exit(main())
""",
)
"""`COMMAND`, which also reports each address it connects to or binds and each name it resolves (PEP 578)."""


def answering(value: object) -> Callable[[], Awaitable[object]]:
    """Return a function that answers a request on the control socket with a value."""

    async def answer() -> object:
        return value

    return answer


def environment(**variables: str) -> dict[str, str]:
    """Return our environment without variables that change a node's settings."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ZIGGURAT_", "KASPAD_")) and name not in {"STATE_DIRECTORY", "NOTIFY_SOCKET"}
    }
    return {**clean, "PYTHONPATH": str(ROOT / ".dev"), **variables}


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(**variables),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


BUGS = ("error.unhandled", "library.logged")
"""Events in place of what Python would print, e.g. about a resource that was not closed."""


class RunningNode:
    """A ``ziggurat node`` process and the events that it has logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.events: list[dict[str, object]] = []
        self.other: list[str] = []
        self._changed = anyio.Event()

    async def read(self) -> None:
        """Read its log to the end."""
        assert self.process.stderr is not None
        rest = ""
        async for text in TextReceiveStream(self.process.stderr):
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                if line.startswith("{"):
                    self.events.append(json.loads(line))
                if not line.startswith("{") or self.events[-1]["event"] in BUGS:
                    self.other.append(line)
            self._changed.set()
            self._changed = anyio.Event()

    async def wait_for(self, event: str, **fields: object) -> dict[str, object]:
        """Wait for an event with this name and these fields, and return it."""
        with anyio.fail_after(EVENT_TIMEOUT):
            while True:
                for written in self.events:
                    if written["event"] == event and fields.items() <= written.items():
                        return written
                await self._changed.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; the node must exit within five seconds."""
        self.process.send_signal(number)
        with anyio.fail_after(5):
            return await self.process.wait()


@asynccontextmanager
async def running(
    *arguments: object, command: Sequence[str] = COMMAND, network: str = "--devnet", **variables: str
) -> AsyncGenerator[RunningNode, None]:
    """Run ``ziggurat node`` on loopback until the end of an ``async with`` block."""
    command = [*command, "node", network, "--log-format", "json", *map(str, arguments)]
    async with await anyio.open_process(
        command, env=environment(**variables), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/"
    ) as process:
        node = RunningNode(process)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.read)
            try:
                yield node
            finally:
                if process.returncode is None:
                    process.kill()
                    with anyio.CancelScope(shield=True):
                        await process.wait()
