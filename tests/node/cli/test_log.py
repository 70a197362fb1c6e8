"""The command's log, on stderr and in a file."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from pathlib import Path

import pytest
import structlog

from ziggurat.node.cli import line_writer
from ziggurat.node.cli.log import Log, LogFormat, configure_log


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_events_are_json_objects_on_stderr_a_line_each(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_log(log_format)
    structlog.get_logger("ziggurat").warning("dial.failed", error="one\ntwo")
    out, err = capsys.readouterr()
    event = json.loads(err)

    assert out == ""
    assert err.count("\n") == 1
    assert (event["event"], event["level"], event["error"]) == ("dial.failed", "warning", "one\ntwo")
    assert event["timestamp"].endswith("Z")


def test_the_console_format_has_no_escape_sequences_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("console")
    structlog.get_logger("ziggurat").info("dial.started", target="http://x:1")
    out, err = capsys.readouterr()

    assert out == ""
    assert "dial.started" in err
    assert "http://x:1" in err
    assert "\x1b" not in err


def test_events_below_the_level_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("json", "warn")
    log = structlog.get_logger("ziggurat")
    log.info("dial.started")
    log.warning("dial.failed")

    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["dial.failed"]


def test_off_shows_no_events(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("json", "off")
    structlog.get_logger("ziggurat").error("dial.failed")

    assert capsys.readouterr().err == ""


def test_a_file_has_the_same_events_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("console", directory=tmp_path / "logs")
    structlog.get_logger("ziggurat").info("dial.started", target="http://x:1")
    log.close()
    structlog.get_logger("ziggurat").info("dial.started", target="http://too-late:1")
    event = json.loads((tmp_path / "logs" / "ziggurat.log").read_text())

    assert (event["event"], event["target"]) == ("dial.started", "http://x:1")
    assert "dialling http://x:1" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("not a directory")

    with pytest.raises(OSError, match="logs"):
        configure_log("json", directory=tmp_path / "logs")


def test_a_queued_log_is_written_out_at_the_end_to_stderr_and_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = configure_log("json", directory=tmp_path, queued=True)
    for number in range(5000):
        structlog.get_logger("ziggurat").info("dial.started", number=number)
    log.close()
    printed = capsys.readouterr().err

    assert [json.loads(line)["number"] for line in printed.splitlines()] == list(range(5000))
    assert (tmp_path / "ziggurat.log").read_text() == printed


def wait_for(log: Log) -> None:
    """Wait until the thread of the file has done what it was told so far."""
    done = threading.Event()
    log.writers[-1].call(done.set)
    assert done.wait(10)


def test_a_hangup_opens_the_file_again_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("json", directory=tmp_path, queued=True)
    structlog.get_logger("ziggurat").info("dial.started")
    log.reopen()
    wait_for(log)
    log.close()
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [event["event"] for event in events] == ["dial.started", "log.reopened"]
    assert events[1]["path"] == str(tmp_path / "ziggurat.log")


def test_a_file_that_cannot_be_opened_again_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("json", directory=tmp_path, queued=True)
    (tmp_path / "ziggurat.log").rename(tmp_path / "old")
    (tmp_path / "ziggurat.log").mkdir()
    log.reopen()
    wait_for(log)
    log.close()
    event = json.loads((tmp_path / "old").read_text())

    assert (event["event"], event["level"], event["error"]) == ("log.not_reopened", "warning", "Is a directory")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_missing_lines_are_told_in_the_format_of_the_log(
    log_format: LogFormat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(line_writer, "CAPACITY", 0)
    log = configure_log(log_format, queued=True)
    for _ in range(3):
        structlog.get_logger("ziggurat").info("dial.started")
    log.close()
    (line,) = capsys.readouterr().err.splitlines()

    if log_format == "json":
        event = json.loads(line)
        assert (event["event"], event["count"], event["level"]) == ("log.dropped", 3, "warning")
        assert event["timestamp"].endswith("Z")
    else:
        assert "3 lines are missing here" in line
        assert line.endswith("[log.dropped]")


def test_what_libraries_log_and_pythons_warnings_become_events(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("json", queued=True)
    logging.getLogger("some.library").warning("two\nlines of %s", "text")
    assert log.records is not None
    log.records.handle(logging.LogRecord("some.library", logging.ERROR, "", 0, "bad arguments: %d", ("x",), None))
    logging.getLogger("some.library").info("chatter")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    log.close()
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [event["event"] for event in events] == ["library.logged"] * 3
    assert [event["logger"] for event in events] == ["some.library", "some.library", "py.warnings"]
    assert events[0]["message"] == "two lines of text"
    assert "careful" in events[2]["message"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize("queued", [False, True])
def test_a_line_that_cannot_be_written_to_stderr_is_still_in_the_file(
    queued: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        log = configure_log("json", directory=tmp_path, queued=queued)
        structlog.get_logger("ziggurat").info("dial.started")
        log.close()

    assert json.loads((tmp_path / "ziggurat.log").read_text())["event"] == "dial.started"
