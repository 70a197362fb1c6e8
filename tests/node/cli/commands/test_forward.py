"""``ziggurat forward`` as a process, and its arguments."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.node.cli.command import main

pytestmark = pytest.mark.slow


class Running:
    """A forwarder in a process. ``out`` and ``err`` are what it has written, once it has ended."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "ziggurat.node", "forward", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout, self.stderr = self.process.stdout, self.process.stderr
        self.out = self.err = ""

    def __enter__(self) -> Running:
        first = self.stdout.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", first)
        assert found, first
        self.port = int(found[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        finally:
            self.process.kill()
        if not self.stdout.closed:
            self.out = self.stdout.read()
        self.err = self.stderr.read()
        self.stdout.close()
        self.stderr.close()
        assert code == 0, self.err


def test_it_forwards_and_tells_each_connection_on_stdout_and_its_events_on_stderr() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        to = f"127.0.0.1:{target.getsockname()[1]}"
        with (
            Running("127.0.0.1:0", to) as running,
            socket.create_connection(("127.0.0.1", running.port)) as client,
        ):
            client.sendall(b"ping")
            client.shutdown(socket.SHUT_WR)
            far, _ = target.accept()
            with far:
                assert far.makefile("rb").read() == b"ping"
            assert client.recv(9) == b""
            line = running.stdout.readline()
    assert re.fullmatch(rf"127\.0\.0\.1:\d+ > {to}: 4 B up, 0 B down, \d\.\d s\n", line), line
    assert running.out == "stopped: 1 accepted, 1 opened, 0 failed, 4 B up, 0 B down\n"
    events = [json.loads(line) for line in running.err.splitlines()]
    assert [event["event"] for event in events] == ["forward.opened", "forward.closed"]
    assert events[1]["sent"] == 4
    assert events[0]["level"] == "info"


def test_it_is_a_socks5_server_through_a_proxy_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        down = free.getsockname()[1]
    with (
        Running("--socks5", "127.0.0.1:0", "--proxy", f"socks5://127.0.0.1:{down}") as running,
        socket.create_connection(("127.0.0.1", running.port)) as client,
    ):
        client.sendall(b"\5\1\0\5\1\0\3\6a.test\0\x50")
        assert client.makefile("rb").read() == b"\5\0\5\1\0\1\0\0\0\0\0\0"  # not the target's fault
    assert f"> a.test:80 through 127.0.0.1:{down}: tcp failed: connection refused" in running.out


def test_a_route_decides_and_its_refusal_is_told_to_the_client(tmp_path: Path) -> None:
    route = tmp_path / "route.toml"
    route.write_text('[[rule]]\nclass = "loopback"\nvia = "direct"\n')
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        Running("--socks5", "127.0.0.1:0", "--route", str(route), "--drain", "0.1") as running,
    ):
        for request, reply in (
            (b"\5\1\0\3\6a.test\0\x50", b"\5\2"),
            (b"\5\1\0\1\x7f\0\0\1" + target.getsockname()[1].to_bytes(2, "big"), b"\5\0"),
        ):
            with socket.create_connection(("127.0.0.1", running.port)) as client:
                client.sendall(b"\5\1\0" + request)
                assert client.makefile("rb").read(4)[2:] == reply
    assert "> a.test:80: route failed: no rule of the route fits" in running.out


def test_a_reader_of_stdout_that_has_gone_stops_nothing() -> None:
    """As of ``| head -1``, which is how a script learns the port."""
    with socket.create_server(("127.0.0.1", 0)) as target:
        to = f"127.0.0.1:{target.getsockname()[1]}"
        with Running("127.0.0.1:0", to) as running:
            running.stdout.close()
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", running.port)) as client, target.accept()[0] as far:
                    far.sendall(b"x")
                    assert client.recv(1) == b"x"


def test_a_port_in_use_is_an_error_and_not_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        assert main(["forward", str(port), "a:1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"ziggurat forward: cannot listen on 127.0.0.1:{port}: another program uses it\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "expected LISTEN TARGET, or --socks5 LISTEN"),
        (["1080"], "expected LISTEN TARGET, or --socks5 LISTEN"),
        (["1080", "a:1", "--socks5", "1081"], "with --socks5 LISTEN the clients say where they go"),
        (["--socks5", "99999"], "--socks5: bad port: 99999 (0 to 65535)"),
        (["db:80", "a:1"], "LISTEN: bad address 'db': expected PORT, IP:PORT"),
        (["0.0.0.0:1", "a:1"], "LISTEN: other machines can reach 0.0.0.0:1: add --allow-remote"),
        (["--socks5", "[::]:1"], "--socks5: other machines can reach [::]:1: add --allow-remote"),
        (["1", "a"], "TARGET: no port in 'a'; expected HOST:PORT, a URI or unix:/path"),
        (["1", "http://u:secret@a:1"], "TARGET: expected HOST:PORT"),
        (["1", "unix:/x", "--tls"], "--tls: a unix socket has no host name to verify"),
        (["1", "a:1", "--timeout", "0"], "--timeout: bad value '0'; expected a positive number of seconds"),
        (["1", "a:1", "--idle-timeout", "x"], "--idle-timeout: bad value 'x'"),
        (["1", "a:1", "--drain", "-1"], "--drain: bad value '-1'; expected 0 or a positive number"),
        (["1", "a:1", "--max-connections", "0"], "--max-connections: bad value '0'"),
        (["1", "a:1", "--proxy", "ftp://u:secret@h"], "--proxy: unknown proxy scheme 'ftp'"),
        (["1", "a:1", "--route", "/nowhere.toml"], "--route: cannot read /nowhere.toml: No such file"),
        (["1", "a:1", "--route", "x", "--proxy", "env"], "--proxy and --route are mutually exclusive"),
    ],
)
def test_bad_arguments_are_one_line_and_quote_no_secret(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["forward", *arguments])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"ziggurat forward: {error}")
    assert err.count("\n") == 1
    assert "secret" not in err
