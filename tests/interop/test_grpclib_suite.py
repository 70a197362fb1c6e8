"""grpclib's own tests, with our channel in place of its own, and with a server that has our mixin.

They run in a process of their own, with the plugin in ``grpclib_suite``. Most of those that are not listed here make
calls on our channel; the others are about grpclib's server and its parts, and show that these work beside us.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.grpclib_source import MIXIN, REPORT, grpclib_tests

PLUGIN = "tests.interop.grpclib_suite.plugin"

LIMIT = 120.0
"""Limit in seconds of a run, which takes ten."""

CALLED, SERVED = 80, 45
"""Least numbers of tests that pass and make a call on our channel, or send a request to our server."""

PRIVATE = "about grpclib's private parts: "
INTENDED = "intended: "
CHANNEL_READY = "test_stats.py::test_channel_ready"
FAILS = {
    "test_client_channel.py::test_concurrent_connect": PRIVATE + "patches the loop's create_connection",
    "test_client_channel.py::test_default_ssl_context": PRIVATE + "Channel._ssl; here TlsLayer has the context",
    "test_client_channel.py::test_ssl_target_name_override": PRIVATE + "patches the loop's create_connection",
    "test_client_channel.py::test_default_verify_paths": PRIVATE + "Channel._ssl; here TlsLayer has the context",
    "test_client_channel.py::test_no_ssl_support": PRIVATE + "patches grpclib.client._ssl",
    "test_client_stream.py::test_deadline_during_cancel": INTENDED + "cancel() does not wait for the transport",
    "test_client_stream.py::test_non_ok_status": INTENDED + "the text also has the words of an HTTP status",
    "test_client_stream.py::test_request_headers": INTENDED + "our own user agent, and grpc-accept-encoding",
    "test_client_stream.py::test_request_headers_with_deadline": INTENDED + "the same, and a finer grpc-timeout",
    "test_client_stream.py::test_reset_after_headers": INTENDED
    + "headers without a content type say that it is not gRPC, also if a reset came with them; "
    "in grpclib it depends on which is looked at first",
    "test_ping.py::test_stream_cancel_by_ping": PRIVATE + "patches Connection.ping_ack_process, counts PINGs",
    "test_server_events.py::test_recv_request": INTENDED + "our own user agent",
    CHANNEL_READY: PRIVATE + "Channel._state; here Channel.state",
    "test_stats.py::test_channel_transient_failure": PRIVATE + "Channel._state; here Channel.state",
    "test_stats.py::test_client_stream": PRIVATE + "the counters of a connection; here Channel.connections",
}
"""Tests that fail on our channel, and why."""

MIXIN_FAILS = {
    "test_memory.py::test_stream": PRIVATE + "Handler.__gc_collect__; our handlers keep nothing to be collected",
    "test_stats.py::test_server_stream": PRIVATE + "the counters of a connection",
}
"""Those that also fail where the server has our mixin."""


@dataclass
class Outcome:
    """What became of a test, with all of its arguments.

    Attributes:
        errors: of those that failed.
        called: how many passed and made a call on our channel.
        served: how many passed and sent a request to our server.
    """

    errors: list[str] = field(default_factory=list)
    called: int = 0
    served: int = 0


def run(folder: Path, *files: str, mixin: bool = False) -> dict[str, Outcome]:
    """Run grpclib's tests, all of them or those in some files."""
    source, packages = grpclib_tests()
    report, root = folder / "report", Path(__file__).parents[2]
    path = (root / "tests" / "interop" / "grpclib_suite" / "modules", root, packages)
    command = [sys.executable, "-m", "pytest", "-c", str(source / "setup.cfg"), "-p", PLUGIN, "--tb=no"]
    command += [part for name in ("anyio", "xdist", "cacheprovider") for part in ("-p", f"no:{name}")]
    # Some of these tests allow a tenth of a millisecond for something.
    command += ["-o", "asyncio_default_fixture_loop_scope=function", "--reruns", "2"]
    command += [str(source / "tests" / name) for name in files or ("",)]
    environment = {**os.environ, REPORT: str(report), "PYTHONPATH": os.pathsep.join(map(str, path))}
    environment.pop("PYTEST_ADDOPTS", None)
    environment[MIXIN] = str(int(mixin))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    last = {}
    for line in report.read_text().splitlines():
        found = json.loads(line)
        last[found["test"], found["case"]] = found
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    for found in last.values():
        outcome = outcomes[found["test"]]
        if found["outcome"] == "failed":
            outcome.errors.append(found["error"])
        elif found["outcome"] == "passed":
            outcome.called += found["called"]
            outcome.served += found["served"]
    return outcomes


def judge(outcomes: Mapping[str, Outcome], fails: Collection[str]) -> str:
    """Return what is wrong: tests that fail and are not listed, and those that are listed and do not fail."""
    wrong = [f"{test}: {it.errors[0]}" for test, it in outcomes.items() if it.errors and test not in fails]
    wrong += [
        f"{test} passes, although it is listed" for test in fails if test not in outcomes or not outcomes[test].errors
    ]
    return "\n".join(wrong)


def test_grpclibs_own_tests_pass_on_our_channel(tmp_path: Path) -> None:
    outcomes = run(tmp_path)
    assert not judge(outcomes, FAILS)
    assert sum(outcome.called for outcome in outcomes.values()) >= CALLED


def test_grpclibs_own_tests_pass_on_our_channel_and_our_server(tmp_path: Path) -> None:
    outcomes = run(tmp_path, mixin=True)
    assert not judge(outcomes, FAILS | MIXIN_FAILS)
    assert sum(outcome.served for outcome in outcomes.values()) >= SERVED


def test_a_listed_test_that_passes_and_another_that_fails_would_be_noticed(tmp_path: Path) -> None:
    wrong = judge(run(tmp_path, "test_testing.py", "test_stats.py"), ["test_testing.py::test", CHANNEL_READY])
    assert "test_testing.py::test passes, although it is listed" in wrong
    assert "test_stats.py::test_client_stream: AttributeError" in wrong
    assert CHANNEL_READY not in wrong
