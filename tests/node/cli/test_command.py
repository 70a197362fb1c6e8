"""The command as a process: stdout, stderr and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.node.cli.command import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-m", "ziggurat.node", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".dev"), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["node", "--socks5-prox", "u:hunter2"],
            "ziggurat node: error: unrecognized arguments: --socks5-prox (did you",
        ),
        (
            ["probe", "peer", "--socks5-prox=u:hunter2@h"],
            "unrecognized arguments: --socks5-prox (did you mean --socks5-p",
        ),
        (["node", "-phunter2"], "ziggurat node: error: unrecognized arguments: -p"),
        (["node", "hunter2"], "ziggurat node: error: unexpected argument"),
        (["--socks5-proxy", "socks5://u:hunter2@h", "node"], "ziggurat: error: unknown command; expected demo, node,"),
        (
            ["node", "--socks5-proxy", "127.0.0.1:9050:u:hunter2"],
            "--socks5-proxy: bad value '***' (bad proxy: expected",
        ),
    ],
)
def test_wrong_arguments_are_named_without_their_values(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert error in printed
    assert "hunter2" not in printed


def test_the_demo_shows_the_stack_the_waterfall_and_the_peer() -> None:
    done = run("demo")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    stack = [line.split("(")[0].strip() for line in lines if line.startswith("  ") and "(" in line][:5]
    assert stack == ["LoggingLayer", "TimeoutLayer", "Socks5Layer", "KeepAliveLayer", "SocketConnector"]
    for word in ("proxy.greeting", "proxy.auth", "proxy.connect", "http2", "█", "ziggurat-demo", "ping", "192.0.2.10"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout
    assert "Success: " in lines[-1]
    assert "ResourceWarning" not in done.stderr


def test_json_is_one_object_and_nothing_else_on_stdout() -> None:
    done = run("demo", "--json")
    report = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert set(report) == {"schema", "ok", "target", "via", "phases", "peer"}
    assert (report["schema"], report["ok"], report["target"]) == (1, True, "http://peer.demo:16611")
    assert [set(entry) for entry in report["phases"]] == [{"phase", "via", "elapsed", "outcome"}] * 6
    assert set(report["peer"]) == {"id", "user_agent", "protocol_version", "network", "services"}


def test_the_log_is_json_if_stderr_is_not_a_terminal() -> None:
    done = run("demo", "--json")
    events = [json.loads(line) for line in done.stderr.splitlines()]

    assert [event["event"] for event in events] == [
        "dial.started",
        "dial.connected",
        "peer.connected",
        "peer.disconnected",
    ]
    assert len({event["dial"] for event in events[:2]}) == 1


def test_the_console_format_can_be_chosen() -> None:
    assert "dial.connected" in run("demo", "--log-format", "console").stderr


def test_a_closed_stdout_causes_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m ziggurat.node demo | head -n 1 >/dev/null"],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".dev")},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["demo", "--nonsense"], ["demo", "--log-format", "xml"]])
def test_bad_arguments_exit_with_2_and_print_usage_on_stderr(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capsys.readouterr()

    assert caught.value.code == 2
    assert out == ""
    assert "usage: ziggurat" in err


@pytest.mark.parametrize("arguments", [["-h"], ["demo", "-h"]])
def test_help_exits_with_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 0
    assert "usage: ziggurat" in capsys.readouterr().out


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    with pytest.raises(SystemExit) as caught:
        main(["-V"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"ziggurat {version('ziggurat')}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("arguments", "full", "code", "printed"),
    [
        ("--help", "stdout", 1, "ziggurat: cannot write the result to stdout: No space left on device\n"),
        ("node --connect a --addpeer b", "stderr", 2, ""),
    ],
)
def test_on_a_full_disk_the_exit_codes_are_the_same_and_nothing_is_a_traceback(
    arguments: str, full: str, code: int, printed: str
) -> None:
    other = "stderr" if full == "stdout" else "stdout"
    with open("/dev/full", "w") as disk:
        done = subprocess.run(
            [sys.executable, "-m", "ziggurat.node", *arguments.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT / ".dev"), "PYTHONUNBUFFERED": ""},
            cwd="/",
            text=True,
            timeout=60,
            check=False,
            **{full: disk, other: subprocess.PIPE},
        )

    assert (done.returncode, done.stderr or done.stdout or "") == (code, printed)
