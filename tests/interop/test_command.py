"""The command ``ziggurat`` as a process: its exit codes, output and connections."""

from __future__ import annotations

import ipaddress
import json
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.interop.traces import Trace, environment, python

Traced = Callable[[Sequence[str]], Awaitable[Trace]]

DEMO = python("-m", "ziggurat.node", "demo")


def run(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env=environment(**more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_demo_shows_the_stack_the_dial_and_the_peer() -> None:
    done = run(*DEMO)

    assert done.returncode == 0, done.stderr
    for word in ("proxy.greeting", "proxy.connect", "http2", "tcp"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout


def test_json_prints_a_single_object() -> None:
    done = run(*DEMO, "--json")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert (result["schema"], result["ok"]) == (1, True)
    assert {"target", "via", "phases", "peer"} <= result.keys()
    assert {"phase", "via", "elapsed", "outcome"} <= result["phases"][0].keys()
    assert {"id", "user_agent", "protocol_version", "network", "services"} <= result["peer"].keys()


def test_log_lines_are_json_objects_on_stderr_without_a_terminal() -> None:
    done = run(*DEMO, "--json")

    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"dial.started", "dial.connected"} <= {event["event"] for event in events}
    for event in events:
        assert {"event", "timestamp", "level"} <= event.keys()


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_colours_unless_no_color_is_set(no_color: bool) -> None:
    shown = bytearray()
    near, far = pty.openpty()
    try:
        env = environment(TERM="xterm", **({"NO_COLOR": "1"} if no_color else {}))
        process = subprocess.Popen(DEMO, env=env, stdin=subprocess.DEVNULL, stdout=far, stderr=subprocess.DEVNULL)
        os.close(far)
        while data := _read(near):
            shown += data
        assert process.wait(timeout=60) == 0
    finally:
        os.close(near)

    assert (b"\x1b[" in shown) is not no_color


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: the other end of the terminal is closed
        return b""


def test_the_script_is_the_same_command() -> None:
    script = Path(sys.executable).with_name("ziggurat")
    if not script.exists():
        pytest.skip("the project is not installed in this environment (pip install -e .)")
    done = run(str(script), "-V")

    assert done.returncode == 0
    assert done.stdout == run(*python("-m", "ziggurat.node", "-V")).stdout
    assert done.stdout.startswith("ziggurat ")


def test_bad_arguments_are_exit_code_2() -> None:
    done = run(*DEMO, "--no-such-flag")

    assert done.returncode == 2
    assert done.stdout == ""
    assert "--no-such-flag" in done.stderr


@pytest.mark.real_io
@pytest.mark.asyncio_only
async def test_the_demo_stays_on_loopback(traced: Traced) -> None:
    trace = await traced([*DEMO, "--json"])

    assert trace.code == 0, trace.stderr
    hosts = [name.rpartition(":")[0].strip("[]") for name in trace.contacted if name[0] in "[0123456789"]
    assert hosts
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts), trace.contacted
    assert not any(name.endswith(":53") for name in trace.contacted)
