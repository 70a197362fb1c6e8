from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ziggurat.node.daemon.sd_notify import sd_notify


def bound(name: str | Path) -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(name))
    return manager


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bound(tmp_path / "n") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))

        assert sd_notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_an_abstract_socket_is_written_with_an_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"ziggurat-test-{tmp_path.name}"
    with bound(f"\0{name}") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

        assert sd_notify("STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("value", ["", "relative", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)

    assert not sd_notify("READY=1")


def test_without_the_variable_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert not sd_notify("READY=1")
