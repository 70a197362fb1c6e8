"""A stub like those of betterproto2's plugin, on our channel."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value
from grpclib.exceptions import GRPCError

from tests.interop.grpcio_echo import grpcio_echo
from ziggurat.services import ConnectRefused, Endpoint, TcpConnector

betterproto2 = pytest.importorskip("betterproto2", reason="betterproto2 is not installed (pip install '.[interop]')")
betterproto2_grpclib = pytest.importorskip("betterproto2.grpclib", reason="betterproto2 without its extra grpclib")

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]


@dataclass(eq=False, repr=False)
class Bytes(betterproto2.Message):  # type: ignore[name-defined,misc]
    value: bytes = betterproto2.field(1, betterproto2.TYPE_BYTES)


@dataclass(eq=False, repr=False)
class Integer(betterproto2.Message):  # type: ignore[name-defined,misc]
    value: int = betterproto2.field(1, betterproto2.TYPE_INT64)


class EchoStub(betterproto2_grpclib.ServiceStub):  # type: ignore[name-defined,misc]
    async def say(self, message: Bytes, *, timeout: float | None = None) -> Bytes:
        return await self._unary_unary("/test.Echo/Say", message, Bytes, timeout=timeout)

    async def upload(self, messages: AsyncIterable[Bytes] | Iterable[Bytes]) -> Integer:
        return await self._stream_unary("/test.Echo/Upload", messages, Bytes, Integer)

    async def download(self, message: Integer) -> AsyncIterator[Bytes]:
        async for response in self._unary_stream("/test.Echo/Download", message, Bytes):
            yield response

    async def talk(self, messages: AsyncIterable[Bytes] | Iterable[Bytes]) -> AsyncIterator[Bytes]:
        async for response in self._stream_stream("/test.Echo/Talk", messages, Bytes, Bytes):
            yield response

    async def fail(self, message: Bytes) -> Bytes:
        return await self._unary_unary("/test.Echo/Fail", message, Bytes)


async def test_the_messages_are_encoded_as_the_servers() -> None:
    assert bytes(Bytes(value=b"abc")) == BytesValue(value=b"abc").SerializeToString()
    assert bytes(Integer(value=300)) == Int64Value(value=300).SerializeToString()


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_all_four_kinds_of_calls(compression: str | None) -> None:
    with grpcio_echo(compression=compression) as server:
        async with Endpoint(f"http://127.0.0.1:{server.port}").connect(TcpConnector()) as channel:
            stub = EchoStub(channel, timeout=30.0, metadata={"x-mine": "yes"})
            messages = [Bytes(value=b"%d" % n * 1000) for n in range(20)]

            assert (await stub.say(Bytes(value=b"hello"))).value == b"hello"
            assert server.metadata["x-mine"] == "yes"
            assert server.remaining is not None
            assert server.remaining <= 30.0
            assert (await stub.upload(messages)).value == sum(len(message.value) for message in messages)
            assert [m.value[:4] async for m in stub.download(Integer(value=50))] == [
                n.to_bytes(4, "big") for n in range(50)
            ]
            assert [m.value async for m in stub.talk(messages)] == [m.value for m in messages]
            with pytest.raises(GRPCError, match="ungünstig"):
                await stub.fail(Bytes())


async def test_a_failed_dial_is_unavailable_with_its_cause() -> None:
    with grpcio_echo() as server:
        port = server.port
    channel = Endpoint(f"http://127.0.0.1:{port}").connect_lazy(TcpConnector())
    with pytest.raises(GRPCError, match="connection refused") as caught:
        await EchoStub(channel).say(Bytes())
    await channel.aclose()

    assert isinstance(caught.value.__cause__, ConnectRefused)


PROTO = """
syntax = "proto3";
package test;
message Bytes { bytes value = 1; }
service Echo { rpc Say(Bytes) returns (Bytes); }
"""


def compiled(folder: Path, name: str, *options: str) -> ModuleType:
    """Generate code by betterproto2's own compiler, as docs/howto/betterproto2.md has it, and import it."""
    pytest.importorskip("betterproto2_compiler", reason="betterproto2_compiler is not installed")
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    (folder / "echo.proto").write_text(PROTO)
    (folder / name).mkdir()
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *options, f"--python_betterproto2_out={name}"]
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # the plugin, and its ruff
    done = subprocess.run(
        [*command, "echo.proto"], cwd=folder, env={**os.environ, "PATH": programs}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(f"{name}.test")
    finally:
        sys.path.remove(str(folder))


async def test_the_compilers_asynchronous_stub_and_its_default_one(tmp_path: Path) -> None:
    with grpcio_echo() as server:
        async with Endpoint(f"http://127.0.0.1:{server.port}").connect(TcpConnector()) as channel:
            ours = compiled(tmp_path, "for_grpclib", "--python_betterproto2_opt=client_generation=async")
            answer = await ours.EchoStub(channel).say(ours.Bytes(value=b"hello"))
            assert answer.value == b"hello"
            grpcios = compiled(tmp_path, "for_grpcio")
            with pytest.raises(AttributeError, match="'Channel' object has no attribute 'unary_unary'"):
                grpcios.EchoStub(channel).say(grpcios.Bytes(value=b"hello"))
