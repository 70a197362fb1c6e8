from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ziggurat.node.daemon.sd_notify import sd_notify


def bound(name: str | Path) -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(name))
    return manager


def test_the_service_manager_is_notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bound(tmp_path / "n") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))

        assert sd_notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_an_at_sign_stands_for_an_abstract_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"ziggurat-test-{tmp_path.name}"
    with bound(f"\0{name}") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

        assert sd_notify("STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("value", ["", "relative", "/nowhere/at/all"])
def test_an_unreachable_service_manager_is_not_an_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)

    assert not sd_notify("READY=1")


def test_without_the_variable_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert not sd_notify("READY=1")
