"""Programs that the tests start: found or the test is skipped, waited for, and gone at the end, children and all."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where daemons live; an ordinary user's PATH leaves these out."""

POLL = 0.02
"""Seconds between two looks at a program that is starting, during which we wait for it to die."""


def find(name: str, package: str) -> str:
    """The path of a program; without it the test is skipped, and says which Debian package brings it."""
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM)))
    if path is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return path


def loopback_address() -> str:
    """An address in 127/8 that nobody else listens on, so that well-known ports are free there and stay so."""
    address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            pytest.skip("only 127.0.0.1 is configured on the loopback interface")
    return address


def need_ipv6() -> None:
    """Skip the test on a machine without IPv6 on its loopback interface."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("::1 is not configured on the loopback interface")


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, limit: float = 15.0) -> None:
    """Wait until ``true()``; fail with the program's log when it dies, or is not there after ``limit`` seconds."""
    for _ in range(int(limit / POLL)):
        if true():
            return
        try:
            process.wait(timeout=POLL)
        except subprocess.TimeoutExpired:
            continue
        break
    state = "is not ready" if process.poll() is None else f"ended with {process.returncode}"
    command = process.args if isinstance(process.args, str) else " ".join(map(str, process.args))  # type: ignore[arg-type]
    pytest.fail(f"{command} {state}:\n{log.read_text(errors='replace')[-4000:]}")


@contextmanager
def running(
    argv: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    env: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
    limit: float = 15.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of a ``with`` block, which begins when ``ready()``."""
    # Tests may be killed, too, and then there is no end of the block: let the system tell the program.
    setpriv = shutil.which("setpriv")
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv if setpriv is None else [setpriv, "--pdeathsig", "TERM", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            start_new_session=True,
        )
    try:
        wait_until(ready, process, log, limit=limit)
        yield process
    finally:
        end(process, stop)


def end(process: subprocess.Popen[bytes], stop: signal.Signals = signal.SIGTERM) -> None:
    """End a program and what it started: politely, then by force."""
    if process.poll() is None:
        process.send_signal(stop)
        try:
            process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(timeout=5.0)
