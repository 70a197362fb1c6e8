"""Forwarders of a local port, each in its own process: ours, socat, and ``ssh -L`` to an sshd over a pipe."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from listening import used
from measure import pin
from processes import client_core, ended, free_port, listening_on, server_core

__all__ = ["FORWARDERS", "cpu"]

SSHD = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM yes
AllowTcpForwarding yes
PidFile none
"""


def cpu(pid: int) -> Callable[[], float]:
    """Return a clock: the CPU in seconds of a process and of its descendants, those of now."""
    return lambda: sum(used(each) for each in [pid, *_descendants(pid)])


def _descendants(pid: int) -> list[int]:
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*children, *(each for child in children for each in _descendants(child))]


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[Process]:
    pin(server_core())  # inherited
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    finally:
        pin(client_core())
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await ended(process)


@asynccontextmanager
async def ours(target: int, *more: str) -> AsyncIterator[tuple[int, int]]:
    """Run ``ziggurat forward``; yields its port and its process."""
    command = [sys.executable, "-m", "ziggurat.node", "forward", "127.0.0.1:0", f"127.0.0.1:{target}", *more]
    async with _running(*command, "--drain", "0") as process:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line:
            raise RuntimeError("ziggurat forward did not start")
        yield int(line.rpartition(":")[2]), process.pid


@asynccontextmanager
async def socat(target: int, *more: str) -> AsyncIterator[tuple[int, int]]:
    """Run socat; yields its port and its process, which forks one for each connection."""
    port = free_port()
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,nodelay"
    async with _running("socat", *more, listen, f"TCP:127.0.0.1:{target},nodelay") as process:
        await listening_on(port)
        yield port, process.pid


@asynccontextmanager
async def ssh(target: int, *more: str) -> AsyncIterator[tuple[int, int]]:
    """Run ``ssh -L``; yields its port and its process, of which sshd is a descendant."""
    port, daemon = free_port(), shutil.which("sshd") or "/usr/sbin/sshd"
    with tempfile.TemporaryDirectory() as name:
        _prepare_sshd(name)
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": f"{name}/key",
            "ProxyCommand": f"{daemon} -i -e -f {name}/sshd_config",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
        }
        command = ["ssh", "-F", "none", "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{target}"]
        command += [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        async with _running(*command, f"{pwd.getpwuid(os.geteuid()).pw_name}@sshd") as process:
            await listening_on(port)
            yield port, process.pid


def _prepare_sshd(folder: str) -> None:
    for key in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{key}"], check=True)
    Path(folder, "sshd_config").write_text(SSHD.format(folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists, run as root


FORWARDERS = {
    "ziggurat": (ours, ()),
    "socat": (socat, ()),
    "socat -b 1 MiB": (socat, ("-b", "1048576")),
    "ssh -L": (ssh, ()),
}
"""What to run, and with which arguments."""
