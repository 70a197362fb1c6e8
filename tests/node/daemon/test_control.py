from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.node.running import answering
from ziggurat.node.daemon.control import Arguments, NotRunning, RequestRefused, ask, is_running, serve_control

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def asked(directory: Path, request: str, arguments: Arguments | None = None) -> object:
    return await anyio.to_thread.run_sync(ask, directory, request, arguments)


async def test_a_request_gets_its_reply(tmp_path: Path) -> None:
    async with serve_control(tmp_path, {"peers": answering([{"a": 1}]), "none": answering(None)}):
        assert await asked(tmp_path, "peers") == [{"a": 1}]
        assert await asked(tmp_path, "none") is None


async def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    async with serve_control(tmp_path, {}):
        assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


async def test_an_unknown_request_gets_an_error(tmp_path: Path) -> None:
    async def ban(arguments: Arguments) -> object:
        return None

    async with serve_control(tmp_path, {"peers": answering([])}, {"ban": ban}):
        for request in ("stop", "", "peer", "stop {}"):
            with pytest.raises(RequestRefused, match=r"unknown request '(stop|peer|)'; this node knows ban, peers"):
                await asked(tmp_path, request)


async def test_a_command_gets_its_arguments_and_a_value_error_is_its_reply(tmp_path: Path) -> None:
    async def ban(arguments: Arguments) -> object:
        if arguments.get("what") != "\u00e4\n":
            raise ValueError("what is missing")
        return [arguments["what"]]

    async with serve_control(tmp_path, {}, {"ban": ban}):
        assert await asked(tmp_path, "ban", {"what": "\u00e4\n"}) == ["\u00e4\n"]
        with pytest.raises(RequestRefused, match=r"^what is missing$"):
            await asked(tmp_path, "ban", {})
        for malformed in ("ban", "ban x", "ban 1", "ban []", "ban " + "[" * 4000):
            with pytest.raises(RequestRefused):
                await asked(tmp_path, malformed)


async def test_a_request_that_is_too_long_gets_no_reply(tmp_path: Path) -> None:
    async with serve_control(tmp_path, {"peers": answering([])}):
        with pytest.raises(NotRunning):
            await asked(tmp_path, "peers " + " " * 5000)


async def test_a_running_node_is_told_from_a_stale_socket(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    async with serve_control(tmp_path, {}):
        assert await anyio.to_thread.run_sync(is_running, tmp_path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    assert not is_running(tmp_path)


async def test_a_malformed_request_does_not_disturb_others(tmp_path: Path) -> None:
    def send_garbage() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "control.sock"))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it hangs up once the line is too long
                client.sendall(b"x" * 100_000)

    async with serve_control(tmp_path, {"peers": answering([])}):
        await anyio.to_thread.run_sync(send_garbage)
        assert await asked(tmp_path, "peers") == []


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    with pytest.raises(NotRunning, match="Connection refused"):
        await asked(tmp_path, "peers")

    async with serve_control(tmp_path, {"peers": answering(1)}):
        assert await asked(tmp_path, "peers") == 1


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    async with serve_control(tmp_path, {}):
        pass

    assert os.listdir(tmp_path) == []
    with pytest.raises(NotRunning, match=f"no node is running in {tmp_path}"):
        await asked(tmp_path, "peers")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
async def test_a_deep_directory_works(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    async with serve_control(deep, {"peers": answering(1)}):
        assert await asked(deep, "peers") == 1


async def test_a_connection_that_is_open_at_the_end_does_not_delay_it_and_is_closed(tmp_path: Path) -> None:
    with contextlib.ExitStack() as clients, anyio.fail_after(3):
        async with serve_control(tmp_path, {"peers": answering(1)}):
            silent, slow = (clients.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
            for client in (silent, slow):
                client.connect(str(tmp_path / "control.sock"))
            slow.sendall(b"pee")
            assert await asked(tmp_path, "peers") == 1  # so the others, which came first, are accepted
        for client in (silent, slow):
            client.settimeout(2)
            assert client.recv(1) == b""


async def test_a_request_may_come_in_pieces(tmp_path: Path) -> None:
    def send_slowly() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "control.sock"))
            for piece in (b"pe", b"ers", b"\n"):
                client.sendall(piece)
            return client.recv(100)

    async with serve_control(tmp_path, {"peers": answering(1)}):
        assert await anyio.to_thread.run_sync(send_slowly) == b'{"answer": 1}\n'


async def test_a_socket_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"control\.sock") as caught:
        async with serve_control(tmp_path / "missing", {}):
            pass
    assert caught.value.filename == str(tmp_path / "missing" / "control.sock")
