"""The log's file: bounded, reopened by name, never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ziggurat.node.cli import log_file
from ziggurat.node.cli.log_file import LogFile


def test_log_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "FILE_SIZE", 2000)
    file = LogFile(tmp_path)
    for number in range(500):
        file.write(f"{number:<99}\n")
    file.close()
    files = sorted(path.name for path in tmp_path.iterdir())

    assert files == ["ziggurat.log", *(f"ziggurat.log.{n}" for n in range(1, log_file.OLD_FILES + 1))]
    assert all(path.stat().st_size == 2000 for path in tmp_path.iterdir())
    assert (tmp_path / "ziggurat.log").read_text().split() == [str(n) for n in range(480, 500)]


def test_a_line_longer_than_a_file_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "FILE_SIZE", 10)
    file = LogFile(tmp_path)
    file.write("x" * 50 + "\n")
    file.close()

    assert (tmp_path / "ziggurat.log").stat().st_size == 51


def test_a_later_run_appends(tmp_path: Path) -> None:
    for line in ("one\n", "two\n"):
        file = LogFile(tmp_path)
        file.write(line)
        file.close()

    assert (tmp_path / "ziggurat.log").read_text() == "one\ntwo\n"


def test_a_renamed_file_is_written_until_the_name_is_opened_again(tmp_path: Path) -> None:
    file = LogFile(tmp_path)
    file.write("one\n")
    (tmp_path / "ziggurat.log").rename(tmp_path / "old")
    file.write("two\n")
    file.reopen()
    file.write("three\n")
    file.close()

    assert (tmp_path / "old").read_text() == "one\ntwo\n"
    assert (tmp_path / "ziggurat.log").read_text() == "three\n"


def test_a_directory_that_is_gone_is_made_again(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "logs")
    (tmp_path / "logs").rename(tmp_path / "old")
    file.reopen()
    file.close()

    assert (tmp_path / "logs" / "ziggurat.log").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_pipe_is_refused_at_once_and_the_file_before_it_stays_in_use(tmp_path: Path) -> None:
    file = LogFile(tmp_path)
    (tmp_path / "ziggurat.log").rename(tmp_path / "old")
    os.mkfifo(tmp_path / "ziggurat.log")
    with pytest.raises(OSError, match="is a pipe"):
        LogFile(tmp_path)
    with pytest.raises(OSError, match="is a pipe"):
        file.reopen()
    file.write("on\n")
    file.close()

    assert (tmp_path / "old").read_text() == "on\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_loses_a_line_and_no_file_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "ziggurat.log").symlink_to("/dev/full")
    file = LogFile(tmp_path)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            file.write("line\n")
    file.close()

    assert os.listdir(tmp_path) == ["ziggurat.log"]


def test_a_line_that_was_cut_short_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(tmp_path)
    real, space = os.write, [2, 0]

    def nearly_full(descriptor: int, data: bytes) -> int:
        if not space:
            return real(descriptor, data)
        if not (left := space.pop(0)):
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:left])

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(OSError, match="No space left"):
        file.write("first\n")
    file.write("second\n")
    file.close()

    assert (tmp_path / "ziggurat.log").read_text() == "fi\nsecond\n"


def test_a_file_that_cannot_be_renamed_grows_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "FILE_SIZE", 10)
    (tmp_path / "ziggurat.log.3").touch()
    (tmp_path / "ziggurat.log.4").mkdir()
    file = LogFile(tmp_path)
    for _ in range(5):
        file.write("12345678\n")
    file.close()

    assert (tmp_path / "ziggurat.log").read_text() == "12345678\n" * 5
