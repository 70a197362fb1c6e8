from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.node.config.app_directory import LOCK_FILE, DirectoryInUse, default_app_directory, locked, make_private

ROOT = Path(__file__).parents[3]
HOLD = """
import pathlib, sys
from ziggurat.node.config.app_directory import locked
with locked(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_systemds_state_directory_takes_precedence() -> None:
    assert default_app_directory({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}) == Path(
        "/var/lib/a"
    )


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no XDG directories")
def test_the_default_is_the_platforms_state_directory() -> None:
    assert default_app_directory({"XDG_STATE_HOME": "/x"}) == Path("/x/ziggurat")
    assert default_app_directory({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/ziggurat"
    assert default_app_directory({}) == Path.home() / ".local/state/ziggurat"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left|Invalid argument") as caught, locked(tmp_path):
        pass

    assert caught.value.filename == str(tmp_path / LOCK_FILE)


def test_a_new_directory_is_accessible_to_its_owner_only(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b") as directory:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700


def test_an_existing_directory_is_not_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_private(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_the_lock_error_names_the_pid_and_a_killed_process_releases_the_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".dev")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(DirectoryInUse, match=f"in use by pid {holder.pid}") as caught, locked(tmp_path):
            pass
        assert caught.value.pid == holder.pid
        holder.kill()
        holder.wait()

    with locked(tmp_path):
        pass


def test_the_lock_is_released_at_the_end_of_its_block(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(DirectoryInUse), locked(tmp_path):
        pass
    with locked(tmp_path) as directory:
        assert directory == tmp_path


def test_a_holder_without_a_pid_is_called_another_process(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / "ziggurat.lock").write_text("")

        with pytest.raises(DirectoryInUse, match="another process"), locked(tmp_path):
            pass
