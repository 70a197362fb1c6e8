from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.inbound.ban import Ban, parse_ban
from ziggurat.node.inbound.ban_file import DamagedBanFile, move_damaged_file, read_bans, write_bans

BANS = [Ban(parse_ban("192.0.2.0/24"), 2e9), Ban(parse_ban("2001:db8::1")), Ban(parse_ban('agent:*"ä/x*'), 2e9)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "bans.json"
    assert read_bans(path) == []
    write_bans(path, BANS)
    write_bans(path, BANS[1:])

    assert read_bans(path) == BANS[1:]
    assert os.listdir(tmp_path) == ["bans.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "bans.json"
    write_bans(path, BANS)
    (tmp_path / "bans.json.new").mkdir()  # where the new file is written first

    with pytest.raises(OSError, match="directory"):
        write_bans(path, [])
    assert read_bans(path) == BANS


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "bans": []}',
        '{"version": 1, "bans": {}}',
        '{"version": 1, "bans": [1]}',
        '{"version": 1, "bans": [{"what": "192.0.2.1"}]}',
        '{"version": 1, "bans": [{"what": "192.0.2.1", "until": "x"}]}',
        '{"version": 1, "bans": [{"what": "192.0.2.1", "until": NaN}]}',
        '{"version": 1, "bans": [{"what": "192.0.2.1", "until": 1e300}]}',
        '{"version": 1, "bans": [{"what": "192.0.2", "until": null}]}',
        "[" * 100_000,
        json.dumps({"version": 1, "bans": []})[:-3],
    ],
)
def test_a_damaged_file_is_told_from_one_without_bans(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bans.json"
    path.write_text(content)

    with pytest.raises(DamagedBanFile):
        read_bans(path)


@given(content=st.binary(max_size=200))
def test_any_file_is_read_or_damaged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)

    with pytest.raises(DamagedBanFile):
        read_bans(path)


def test_a_damaged_file_is_moved_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "bans.json"
    for number in (1, 2):
        path.write_text(str(number))
        assert move_damaged_file(path).read_text() == str(number)

    assert sorted(os.listdir(tmp_path)) == ["bans.json.damaged-1", "bans.json.damaged-2"]
