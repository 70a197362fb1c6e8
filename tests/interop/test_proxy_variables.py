"""The columns of curl and grpc-core in docs/howto/proxy-from-the-environment.md, asked of the programs themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial

import anyio.to_thread
import pytest

from tests.interop.programs import find
from ziggurat.layers.testing import HttpReply, ScriptedHttpProxy
from ziggurat.services.no_proxy import NoProxy
from ziggurat.services.uri import Uri

DEAD = "http://127.0.0.1:1"
"""A proxy that is not there: a program that obeys says that it cannot reach port 1."""

NAMES = ("a.test", "www.a.test", "bada.test")

OTHERS = {"PATH": os.environ.get("PATH", os.defpath)}
"""Without the machine's own proxy variables."""


@pytest.mark.parametrize(
    ("no_proxy", "host", "by_curl", "by_us"),
    [
        ("a.test", "a.test", True, True),
        ("a.test", "www.a.test", True, True),
        ("a.test", "bada.test", False, False),
        (".a.test", "a.test", True, True),
        (".a.test", "www.a.test", True, True),
        ("*.a.test", "www.a.test", False, True),
        ("a.test:9", "a.test", False, True),
        ("b.test,a.test,", "a.test", True, True),
        ("*", "a.test", True, True),
        ("b.test,*", "a.test", False, True),
        ("127.0.0.0/8", "127.0.0.1", True, True),
        ("10.*", "10.0.0.1", False, False),
        ("::1", "[::1]", True, True),
        ("[::1]", "[::1]", False, True),
    ],
)
def test_which_targets_curl_dials_directly(no_proxy: str, host: str, by_curl: bool, by_us: bool) -> None:
    curl = find("curl", "curl")
    known = [argument for name in NAMES for argument in ("--resolve", f"{name}:9:127.0.0.1")]
    done = subprocess.run(
        [curl, "-sS", "-m", "10", *known, f"https://{host}:9/"],
        env={**OTHERS, "https_proxy": DEAD, "no_proxy": no_proxy},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("127.0.0.1 port 1 " not in done.stderr) is by_curl, done.stderr
    assert (NoProxy(no_proxy).match(Uri.parse(f"https://{host}:9")) is not None) is by_us


GRPCIO = """
import json, os, sys
import grpc

for number, (environ, target) in enumerate(json.load(sys.stdin)):
    os.environ.update(environ)
    # A channel with an argument of its own shares no connection with the one before.
    channel = grpc.insecure_channel(target, [("case", number)])
    try:
        grpc.channel_ready_future(channel).result(timeout=1.0)
    except grpc.FutureTimeoutError:
        pass
    channel.close()
    for name in environ:
        del os.environ[name]
"""


@pytest.mark.real_io
@pytest.mark.asyncio_only
async def test_which_targets_grpc_core_dials_directly() -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed (pip install '.[interop]')")
    cases: list[tuple[Mapping[str, str], str, bool]] = [
        ({"https_proxy": "{proxy}"}, "a1.test:9", True),  # also for a target without TLS
        ({"http_proxy": "{proxy}"}, "a2.test:9", True),
        ({"HTTPS_PROXY": "{proxy}"}, "a3.test:9", False),
        ({"all_proxy": "{proxy}"}, "a4.test:9", False),
        ({"grpc_proxy": "", "https_proxy": "{proxy}"}, "a5.test:9", False),
        ({"https_proxy": "{bare}"}, "a6.test:9", False),
        ({"https_proxy": "{proxy}", "no_proxy": "b.test"}, "bada7b.test:9", True),  # not so in older ones
        ({"https_proxy": "{proxy}", "no_proxy": ".a8.test"}, "a8.test:9", False),
        ({"https_proxy": "{proxy}", "no_proxy": "a13.test"}, "www.a13.test:9", False),
        ({"https_proxy": "{proxy}", "no_proxy": "*.a14.test"}, "www.a14.test:9", True),
        ({"https_proxy": "{proxy}", "no_proxy": "a15.test:9"}, "a15.test:9", True),
        ({"https_proxy": "{proxy}", "no_proxy": "b.test a16.test"}, "a16.test:9", True),
        ({"https_proxy": "{proxy}", "no_proxy": "*"}, "a9.test:9", True),
        ({"https_proxy": "{proxy}", "no_proxy": "127.0.0.0/8"}, "127.0.0.10:9", False),
        ({"https_proxy": "{proxy}"}, "127.0.0.11:9", True),
        ({"https_proxy": "{proxy}", "no_proxy": "a12.test", "no_grpc_proxy": "c.test"}, "a12.test:9", True),
    ]
    scripted = ScriptedHttpProxy(HttpReply(403, "Forbidden"))
    async with scripted.serve() as at:
        given = [
            ({name: text.format(proxy=f"http://{at.authority}", bare=at.authority) for name, text in each.items()}, to)
            for each, to, _ in cases
        ]
        ask = partial(
            subprocess.run,
            [sys.executable, "-c", GRPCIO],
            input=json.dumps(given),
            env=OTHERS,
            capture_output=True,
            text=True,
            check=True,
        )
        await anyio.to_thread.run_sync(ask)
    asked = {request.target for session in scripted.sessions for request in session.requests}

    assert asked == {target for _, target, proxied in cases if proxied}
