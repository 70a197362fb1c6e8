"""The command's log, on stderr and in a file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import structlog

from ziggurat.node.cli import log
from ziggurat.node.cli.log import LogFormat, configure_log


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
    close = configure_log("console", directory=tmp_path / "logs")
    structlog.get_logger("ziggurat").info("dial.started", target="http://x:1")
    close()
    structlog.get_logger("ziggurat").info("dial.started", target="http://too-late:1")
    event = json.loads((tmp_path / "logs" / "ziggurat.log").read_text())

    assert (event["event"], event["target"]) == ("dial.started", "http://x:1")
    assert "dialling http://x:1" in capsys.readouterr().err


def test_log_files_are_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "FILE_SIZE", 2000)
    close = configure_log("json", directory=tmp_path)
    for number in range(200):
        structlog.get_logger("ziggurat").info("dial.started", number=number)
    close()
    capsys.readouterr()
    files = sorted(path.name for path in tmp_path.iterdir())

    assert files == ["ziggurat.log", *(f"ziggurat.log.{n}" for n in range(1, log.OLD_FILES + 1))]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("not a directory")

    with pytest.raises(OSError, match="logs"):
        configure_log("json", directory=tmp_path / "logs")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_file_on_a_full_disk_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ziggurat.log").symlink_to("/dev/full")
    close = configure_log("json", directory=tmp_path)
    for number in range(3):
        structlog.get_logger("ziggurat").info("dial.started", number=number)
    close()
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [event["event"] for event in events] == ["log.not_written", *["dial.started"] * 3]
    assert events[0]["path"] == str(tmp_path / "ziggurat.log")
    assert "No space left" in events[0]["error"]


def test_a_file_that_fails_again_is_named_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    close = configure_log("json", directory=tmp_path)
    file = tmp_path / "ziggurat.log"
    failing = iter([True, True, False, True])

    class Disk(io.StringIO):
        def write(self, text: str) -> int:
            if next(failing, True):
                raise OSError(28, "No space left on device")
            return len(text)

    handler = structlog.get_config()["processors"][-2]._file
    handler.stream.close()
    handler.stream = Disk()
    for _ in range(3):
        structlog.get_logger("ziggurat").info("x")
    handler.stream = file.open("a")
    close()
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]

    assert events == ["log.not_written", "x", "x", "log.not_written", "x"]
