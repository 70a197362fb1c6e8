"""The Protobuf messages and services of a Go program, read out of the program: without ``.proto`` files or a compiler.

Generated Go code embeds the descriptor of each ``.proto`` file as serialised `FileDescriptorProto`, uncompressed, which
begins with the file's name (field 1) and, for proto3, ends with ``syntax`` (field 12).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpclib.client import (
    Channel,
    ServiceMethod,
    StreamStreamMethod,
    StreamUnaryMethod,
    UnaryStreamMethod,
    UnaryUnaryMethod,
)
from grpclib.const import Cardinality, Handler

__all__ = ["GoMessages", "Stub"]

END = b"\x62\x06proto3"
"""``syntax = "proto3"``, the last field."""

LONGEST = 256 * 1024
"""Upper bound of the size of a descriptor, in bytes."""

METHODS: dict[Cardinality, type[ServiceMethod[Any, Any]]] = {
    Cardinality.UNARY_UNARY: UnaryUnaryMethod,
    Cardinality.UNARY_STREAM: UnaryStreamMethod,
    Cardinality.STREAM_UNARY: StreamUnaryMethod,
    Cardinality.STREAM_STREAM: StreamStreamMethod,
}


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
                self._add(image, name)

    def __call__(self, name: str) -> Any:
        """Return the class of a message, by its full name."""
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def methods(self, service: str) -> Iterator[tuple[MethodDescriptor, str, Cardinality, Any, Any]]:
        """Yield each method of a service with its path, its cardinality, and the classes of request and response."""
        for method in self._pool.FindServiceByName(service).methods:
            sides = ("STREAM" if side else "UNARY" for side in (method.client_streaming, method.server_streaming))
            cardinality = Cardinality["_".join(sides)]
            kinds = (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
            yield method, f"/{service}/{method.name}", cardinality, *kinds

    def handlers(self, service: str, implementation: object) -> dict[str, Handler]:
        """Return a service's ``__mapping__``, of those methods that ``implementation`` has."""
        return {
            path: Handler(getattr(implementation, method.name), cardinality, request, response)
            for method, path, cardinality, request, response in self.methods(service)
            if hasattr(implementation, method.name)
        }

    def _add(self, image: mmap.mmap, name: str) -> None:
        try:
            self._pool.FindFileByName(name)
        except KeyError:
            found = _descriptor(image, name)
            for dependency in tuple(found.dependency):
                try:
                    self._add(image, dependency)
                except LookupError:
                    found.dependency.remove(dependency)  # proto2: options, which no message needs
            self._pool.Add(found)


class Stub:
    """A client of a service, with grpclib's methods as attributes, as protoc's plugin would generate it."""

    def __init__(self, channel: Channel, messages: GoMessages, service: str) -> None:
        for method, path, cardinality, request, response in messages.methods(service):
            setattr(self, method.name, METHODS[cardinality](channel, path, request, response))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def _descriptor(image: mmap.mmap, name: str) -> FileDescriptorProto:
    head = b"\x0a" + bytes([len(name)]) + name.encode()
    start = -1
    while (start := image.find(head, start + 1)) >= 0:
        end = start
        while (end := image.find(END, end + 1, start + LONGEST)) >= 0:
            try:
                return FileDescriptorProto.FromString(image[start : end + len(END)])
            except DecodeError:
                continue
    raise LookupError(f"the program has no {name}")
