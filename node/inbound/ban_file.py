"""The file of the bans: JSON, replaced as a whole, so that a crash leaves the old or the new one. All calls block."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from ziggurat.node.inbound.ban import Ban, ban_text, parse_ban

__all__ = ["DamagedBanFile", "move_damaged_file", "read_bans", "write_bans"]

VERSION = 1


class DamagedBanFile(ValueError):
    """The file exists, but is not a list of bans that this version can read."""


def read_bans(path: Path) -> list[Ban]:
    """Return the bans in the file; none if there is no file.

    Raises:
        DamagedBanFile: the content is not what `write_bans` writes.
        OSError: the file cannot be read.
    """
    try:
        content: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise DamagedBanFile(str(error)) from error
    if not isinstance(content, dict):
        raise DamagedBanFile("not a JSON object")
    found = cast("dict[str, object]", content)
    if found.get("version") != VERSION:
        raise DamagedBanFile(f"version {found.get('version')!r}, but this program reads version {VERSION} only")
    entries = found.get("bans")
    if not isinstance(entries, list):
        raise DamagedBanFile("no list of bans")
    return [_ban(entry) for entry in cast("list[object]", entries)]


def _ban(entry: object) -> Ban:
    match entry:
        case {"what": str(what), "until": None}:
            until = None
        case {"what": str(what), "until": int() | float() as until} if math.isfinite(until) and abs(until) < 1e11:
            until = float(until)
        case _:
            raise DamagedBanFile(f"not a ban: {entry!r:.200}")
    try:
        return Ban(parse_ban(what), until)
    except ValueError as error:
        raise DamagedBanFile(str(error)) from error


def write_bans(path: Path, bans: Iterable[Ban]) -> None:
    """Replace the file, durable on return; only its owner may read it.

    Raises:
        OSError: the write failed; the file is unchanged.
    """
    entries = [{"what": ban_text(ban.what), "until": ban.until} for ban in bans]
    text = json.dumps({"version": VERSION, "bans": entries}, indent=1)
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(text.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # of the new name
    finally:
        os.close(directory)


def move_damaged_file(path: Path) -> Path:
    """Rename a damaged file, which makes room for a new one, and return its new path.

    Raises:
        OSError: the file cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)
