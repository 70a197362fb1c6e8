"""What stands in the way of the node's output stops neither the node nor its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.node.running import COMMAND, environment, run

pytestmark = [pytest.mark.slow, pytest.mark.real_io]

QUIET = ("--devnet", "--maxinpeers=0", "--outpeers=0")


@contextlib.contextmanager
def node(*arguments: object, stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*COMMAND, "node", *QUIET, *map(str, arguments)],
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def events(path: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line)["event"] for line in path.read_text().splitlines()]
    return []


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(5)


def test_a_node_whose_stderr_nobody_reads_runs_answers_and_stops(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 512)
    os.set_blocking(writing, True)
    log = tmp_path / "logs" / "ziggurat.log"
    with node("-b", tmp_path, "--logdir", log.parent, stderr=writing) as process:
        until(lambda: "node.started" in events(log))
        assert run("peers", "--devnet", "-b", tmp_path).returncode == 0
        assert stop(process) == 0
    os.close(writing)
    os.close(reading)

    assert events(log)[-2:] == ["node.stopping", "node.stopped"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_with_a_full_disk_for_stderr_a_hangup_opens_the_log_file_again_and_kills_nothing(tmp_path: Path) -> None:
    log = tmp_path / "kaspa-devnet" / "logs" / "ziggurat.log"
    with open("/dev/full", "w") as full, node("-b", tmp_path, stderr=full.fileno()) as process:
        until(lambda: "node.started" in events(log))
        log.rename(log.with_name("old"))
        process.send_signal(signal.SIGHUP)
        until(lambda: events(log))
        assert stop(process) == 0

    assert events(log.with_name("old"))[-1] == "node.started"
    assert events(log) == ["log.reopened", "node.stopping", "node.stopped"]


def test_a_second_node_with_the_same_log_directory_names_the_pid_of_the_first_which_goes_on_without_stderr(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = tmp_path / "logs" / "ziggurat.log"
    with node("-b", tmp_path / "a", "--logdir", log.parent, stderr=writing) as first:
        os.close(writing)
        until(lambda: "node.started" in events(log))
        second = run("node", *QUIET, "-b", tmp_path / "b", "--logdir", log.parent)
        assert stop(first) == 0

    assert second.returncode == 1
    assert second.stderr == f"ziggurat node: {log.parent} is in use by pid {first.pid}\n"
    assert events(log)[-1] == "node.stopped"


def test_a_pipe_in_place_of_the_log_file_is_named_in_one_line(tmp_path: Path) -> None:
    logs = tmp_path / "kaspa-devnet" / "logs"
    logs.mkdir(parents=True)
    os.mkfifo(logs / "ziggurat.log")
    done = run("node", *QUIET, "-b", tmp_path)

    assert done.returncode == 1
    assert done.stderr == (f"ziggurat node: cannot write log files to {logs}: ziggurat.log is a pipe, not a file\n")


def test_the_log_directory_may_be_that_of_the_node(tmp_path: Path) -> None:
    directory = tmp_path / "kaspa-devnet"
    with node("-b", tmp_path, "--logdir", directory, stderr=subprocess.DEVNULL) as process:
        until(lambda: "node.started" in events(directory / "ziggurat.log"))
        assert stop(process) == 0
