"""Find, start, await and stop external programs with their children; a test is skipped if its program is missing."""

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
"""Folders of daemons, which are not on an ordinary user's PATH."""

POLL = 0.02
"""Interval in seconds between checks of a starting program."""


def find(name: str, package: str) -> str:
    """Return the path of a program. Without it, skip the test and name its Debian package."""
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM)))
    if path is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return path


def loopback_address() -> str:
    """Return an unused address in 127/8, where well-known ports are free and stay free."""
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
    """Return whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, limit: float = 15.0) -> None:
    """Wait until ``true()``. Fail with the program's log if it exits, or is not ready within ``limit`` seconds."""
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
    """Run a program for the duration of a ``with`` block, which is entered once ``ready()`` is true."""
    # If the tests are killed, the block does not end: let the kernel signal the program.
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
    """Stop a program with a signal, then kill it and its children."""
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
