"""Trace with strace what a program connects to and looks up, whichever library does it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

import ziggurat.services
from tests.interop.programs import find

__all__ = ["Trace", "environment", "python", "run_traced", "strace_that_works"]

RESOLVER_FILES = ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf")
"""Files that are only read to look up a name."""

_ADDRESS = re.compile(
    r"sa_family=AF_(?P<family>\w+)"
    r'(?:, sun_path=@?"(?P<path>[^"]*)"'
    r"|, sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"(?P<host>[^\"]+)\")?"
)
_OPENED = re.compile(r'openat?\((?:AT_FDCWD, )?"([^"]+)"')


@dataclass(frozen=True)
class Trace:
    """The run of a program.

    Attributes:
        code: the exit code.
        stdout, stderr: the output.
        contacted: each address that it connected or sent to, as ``host:port`` or ``unix:/path``.
        looked_up: the resolver files that it opened.
    """

    code: int
    stdout: str
    stderr: str
    contacted: set[str]
    looked_up: set[str]


def python(*argv: str) -> list[str]:
    """Return a command that runs this Python in development mode, with unclosed resources as errors."""
    return [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", *argv]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program that imports the same project as the tests."""
    project = str(Path(ziggurat.services.__file__).parents[2])
    path = os.pathsep.join(filter(None, (project, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


def strace_that_works() -> str:
    """Return the path of strace; skip the test if it is missing or must not trace."""
    strace = find("strace", "strace")
    if subprocess.run([strace, "-qq", "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let strace trace a program")
    return strace


async def run_traced(strace: str, folder: Path, argv: Sequence[str]) -> Trace:
    """Run a program under strace to its end, for at most a minute."""
    log = folder / "strace"
    options = ["-f", "-qq", "-s", "256", "-e", "trace=connect,sendto,sendmsg,sendmmsg,open,openat", "-o", str(log)]
    with anyio.fail_after(60.0):
        done = await anyio.run_process([strace, *options, *argv], check=False, env=environment())
    contacted: set[str] = set()
    looked_up: set[str] = set()
    for line in log.read_text(errors="replace").splitlines():
        if opened := _OPENED.search(line):
            looked_up.update({opened[1]} & {*RESOLVER_FILES})
        else:
            contacted.update(_name(match) for match in _ADDRESS.finditer(line))
    return Trace(done.returncode, done.stdout.decode(), done.stderr.decode(), contacted, looked_up)


def _name(address: re.Match[str]) -> str:
    if address["family"] == "UNIX":
        return f"unix:{address['path']}"
    if address["host"] is None:
        return address["family"].lower()
    host = f"[{address['host']}]" if ":" in address["host"] else address["host"]
    return f"{host}:{address['port']}"
