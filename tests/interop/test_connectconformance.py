"""connectconformance, the suite of the Connect project, against the channel and against a server with our mixin.

``tests/interop/conformance`` has the client and the server that it runs. It tests gRPC over HTTP/2 in clear text, over
TLS and with client certificates, with and without gzip.

The channel passes all cases. A list below has those that a server is expected to fail, as patterns (``**`` is any
number of parts of a name). A listed case that passes is a failure, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from subprocess import STDOUT

import anyio
import pytest

from tests.interop.go_programs import CONNECTCONFORMANCE
from tests.interop.traces import environment, python
from ziggurat.layers.testing import Socks5Server

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

FEATURES = """\
features:
  versions: [HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC]
  codecs: [CODEC_PROTO]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supports_h2c: true
  supports_tls: true
  supports_tls_client_certs: true
  supports_message_receive_limit: true
"""

CLIENT, SERVER = "tests.interop.conformance.client", "tests.interop.conformance.server"

LIMIT = 120.0
"""Limit in seconds of a run, which takes three."""

SERVER_FAILS: dict[str, str] = {}


async def run(folder: Path, mode: str, module: str, *arguments: str, fails: Iterable[str] = ()) -> None:
    """Run the suite, and fail with its output if a case does not end as expected."""
    program = CONNECTCONFORMANCE.find()
    config = folder / "features.yaml"
    config.write_text(FEATURES)
    command = [program, "--mode", mode, "--conf", str(config)]
    command += [part for name in fails for part in ("--known-failing", name)]
    command += ["--", *python("-m", module, program, *arguments)]
    root = Path(__file__).parents[2]
    with anyio.fail_after(LIMIT):
        # In the project's folder, for the imports of tests.
        done = await anyio.run_process(command, check=False, stderr=STDOUT, cwd=root, env=environment())
    output = done.stdout.decode(errors="replace")
    assert done.returncode == 0, output[-20000:]
    total = re.search(r"^Total cases: (\d+)$", output, re.M)
    assert total is not None, output
    assert int(total[1]) > 500


@pytest.mark.parametrize("route", ["direct", "socks5"])
async def test_the_channel(tmp_path: Path, route: str) -> None:
    CONNECTCONFORMANCE.find()  # a skip inside a task group is an error
    proxy = Socks5Server()
    async with proxy.serve() as uri:
        arguments = ["--proxy", uri.authority] if route == "socks5" else []
        await run(tmp_path, "client", CLIENT, *arguments)
    assert bool(proxy.requests) == (route == "socks5")


async def test_the_channel_with_calls_cancelled_by_their_stream(tmp_path: Path) -> None:
    await run(tmp_path, "client", CLIENT, "--cancel", "stream")


async def test_the_server(tmp_path: Path) -> None:
    await run(tmp_path, "server", SERVER, fails=SERVER_FAILS)
