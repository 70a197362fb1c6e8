"""The listening socket: what is in its way, and what it leaves."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from ziggurat.layers.forward.address import ListenAddress
from ziggurat.layers.forward.listener import LocalListener


def test_a_port_that_is_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: another program uses it"):
            LocalListener(ListenAddress("127.0.0.1", port))


def test_an_address_of_no_interface_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 203\.0\.113\.1:0: no interface"):
        LocalListener(ListenAddress("203.0.113.1", 0))


def test_a_free_port_is_taken_and_given_back() -> None:
    listener = LocalListener(ListenAddress())
    assert listener.address.port == listener.socket.getsockname()[1] > 0
    listener.close()
    listener.close()
    LocalListener(listener.address).close()


def test_a_unix_socket_is_for_this_user_and_removed(tmp_path: Path) -> None:
    address = ListenAddress("", 0, str(tmp_path / "x"))
    listener = LocalListener(address)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    listener.close()
    assert list(tmp_path.iterdir()) == []


def test_a_stale_unix_socket_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    """ssh -L refuses a stale one, without StreamLocalBindUnlink; some programs take over one that is in use."""
    address = ListenAddress("", 0, str(tmp_path / "x"))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(address.path)
    stale.close()
    listener = LocalListener(address)
    with pytest.raises(OSError, match="another program uses it"):
        LocalListener(address)
    listener.close()


def test_a_file_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(OSError, match="another program uses it"):
        LocalListener(ListenAddress("", 0, str(tmp_path / "x")))
    assert (tmp_path / "x").read_text() == "mine"


def test_a_socket_that_has_replaced_ours_stays(tmp_path: Path) -> None:
    address = ListenAddress("", 0, str(tmp_path / "x"))
    first = LocalListener(address)
    os.rename(address.path, tmp_path / "away")
    second = LocalListener(address)
    first.close()
    assert Path(address.path).is_socket()
    second.close()
    assert not Path(address.path).exists()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot listen on unix:.*no/x: No such file"):
        LocalListener(ListenAddress("", 0, str(tmp_path / "no" / "x")))
