from __future__ import annotations

import base64
import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ziggurat.node.tor import make_onion_key, read_onion_key
from ziggurat.node.tor.onion_key import expand_seed


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "onion_key"
    key = make_onion_key(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert make_onion_key(path) == read_onion_key(path) == key
    assert [each.name for each in path.parent.iterdir()] == ["onion_key"]


def test_two_keys_differ(tmp_path: Path) -> None:
    assert make_onion_key(tmp_path / "1") != make_onion_key(tmp_path / "2")


def test_the_expanded_key_is_that_of_the_seed() -> None:
    """The scalar times the base point is the public key, as another implementation has it (RFC 8032 7.1, test 1)."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    expanded = expand_seed(seed)
    scalar = int.from_bytes(expanded[:32], "little")

    assert (scalar % 8, scalar >> 254) == (0, 1)
    assert len(expanded) == 64
    assert _public_key(scalar) == Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    make_onion_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)

    with pytest.raises(ValueError, match=f"others may read the onion key .*0{mode:o}.*chmod 600"):
        make_onion_key(tmp_path / "key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        b"ED25519-V3:",
        b"RSA1024:" + base64.b64encode(bytes(64)),
        b"ED25519-V3:" + base64.b64encode(bytes(63)),
        b"ED25519-V3:" + b"!" * 88,
        b"ED25519-V3:" + base64.b64encode(bytes(64)) + b"\r\nSIGNAL SHUTDOWN",
    ],
)
def test_what_is_no_key_is_neither_used_nor_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ValueError, match="is no onion key"):
        make_onion_key(path)
    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """A FIFO held up the event loop, and no signal ended the node."""
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(ValueError, match=r"the onion key .*/key is not a regular file"):
        make_onion_key(tmp_path / "key")


def test_a_key_behind_a_link_with_either_end_of_line(tmp_path: Path) -> None:
    key = make_onion_key(tmp_path / "key")
    (tmp_path / "key").write_bytes(f"{key}\r\n".encode())
    (tmp_path / "link").symlink_to(tmp_path / "key")

    assert make_onion_key(tmp_path / "link") == key


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EACCES, None])
def test_a_system_without_hard_links(number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mkj/dropbear#89, termux/termux-app#837, termux/termux-packages#18666: FAT has none, and Android allows none."""

    def link(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number or 0))

    if number is None:

        def missing(path: Path, target: object) -> None:
            raise NotImplementedError("os.link() not available on this system")

        monkeypatch.setattr(Path, "hardlink_to", missing)
    else:
        monkeypatch.setattr(os, "link", link)
    key = make_onion_key(tmp_path / "key")

    assert read_onion_key(tmp_path / "key") == key
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_key_that_cannot_be_stored_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "key", Path("/proc/key")):
        with pytest.raises(OSError, match=f"{path}'"):
            make_onion_key(path)


PRIME = 2**255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME


def _public_key(scalar: int) -> bytes:
    """Multiply the base point and encode the result (RFC 8032 section 5.1)."""
    y = 4 * pow(5, -1, PRIME) % PRIME
    x = _even_root(y)
    result, point = (0, 1), (x, y)
    for bit in range(scalar.bit_length()):
        if scalar >> bit & 1:
            result = _add(result, point)
        point = _add(point, point)
    return (result[1] | (result[0] & 1) << 255).to_bytes(32, "little")


def _even_root(y: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    return x if x % 2 == 0 else PRIME - x


def _add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME) % PRIME
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME) % PRIME
