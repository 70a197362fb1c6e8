"""The Protobuf messages of a Go program, read out of the program: no ``.proto`` file and no compiler is needed.

Generated Go code embeds the descriptor of each ``.proto`` file as serialised `FileDescriptorProto`, uncompressed, which
begins with the file's name (field 1) and, for proto3, ends with ``syntax`` (field 12).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

__all__ = ["GoMessages"]

END = b"\x62\x06proto3"
"""``syntax = "proto3"`` of a `FileDescriptorProto`, its last field."""

LONGEST = 256 * 1024
"""Upper bound of the size of a descriptor, in bytes."""


class GoMessages:
    """The message classes of the ``.proto`` files that ``program`` was compiled with.

    Args:
        program: path of the executable.
        files: names of the files to load, as in an ``import``; what they import is found in the program as well.

    Raises:
        LookupError: the program has no such file.
    """

    def __init__(self, program: str, files: Iterable[str]) -> None:
        self._pool = DescriptorPool()
        with Path(program).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            for name in files:
                self._add(image, name, set())

    def __call__(self, name: str) -> Any:
        """Return the class of a message, by its full name."""
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def _add(self, image: mmap.mmap, name: str, seen: set[str]) -> None:
        if name in seen:
            return
        seen.add(name)
        try:
            self._pool.FindFileByName(name)
        except KeyError:
            found = _descriptor(image, name)
            for dependency in found.dependency:
                self._add(image, dependency, seen)
            self._pool.Add(found)


def _descriptor(image: mmap.mmap, name: str) -> FileDescriptorProto:
    start = -1
    head = b"\x0a" + bytes([len(name)]) + name.encode()
    while (start := image.find(head, start + 1)) >= 0:
        end = start
        while 0 <= (end := image.find(END, end + 1, start + LONGEST)):
            try:
                return FileDescriptorProto.FromString(image[start : end + len(END)])
            except DecodeError:
                continue
    raise LookupError(f"the program has no {name}")
