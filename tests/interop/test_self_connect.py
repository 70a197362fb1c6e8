"""A dial to a dead port of the ephemeral range, in a network namespace where that range is ten ports wide."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import anyio, collections
from ziggurat.services import ConnectRefused, TcpConnector, Uri

async def main():
    seen = collections.Counter()
    for _ in range(300):
        try:
            stream = await TcpConnector()(Uri.parse("http://127.0.0.1:50052"))
        except ConnectRefused as error:
            seen["transient" if error.transient else "final"] += 1
        else:
            seen["connected"] += 1
            await stream.aclose()
    print(dict(seen))

anyio.run(main)
"""

SETUP = 'ip link set lo up && echo "50050 50059" > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"'


def test_a_dead_port_never_answers_itself() -> None:
    """tokio#3405, libzmq#4588, OpenDJ#728: without the check some thirty of three hundred dials succeed."""
    namespace = ["unshare", "-n", "sh", "-c", SETUP, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("needs unshare and ip, and the right to make a network namespace")
    done = subprocess.run([*namespace, sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)

    assert done.stdout == "{'transient': 300}\n", done.stderr
