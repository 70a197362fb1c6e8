"""A Tor network on loopback: an authority, four relays, a client, and a host for onion services.

It is up after about six seconds. The unusual settings are needed, as the network hangs without them:

* Consensus: votes are cast at fixed times. A vote before the relays' descriptors have arrived yields a network without
  relays for half an hour. So the first vote is scheduled far ahead, and moved to the next second once they are there.
* Bandwidths: on one machine a single node measures some bandwidth and all others none, and then every path uses that
  node. ``CountPrivateBandwidth 0`` makes all equal.
* A relay that asks for a consensus too early waits long before it asks again; SIGHUP makes it ask.
* The client's network is disabled until there is a consensus, for the same reason.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.names import serve_names
from tests.interop.programs import find, loopback_address, running, wait_until
from tests.interop.tor_control import Control

__all__ = ["TorNetwork", "tor_network"]

OR_PORT, DIR_PORT, SOCKS_PORT, PLAIN_SOCKS_PORT, DNS_PORT = 5000, 7000, 9050, 9051, 53053

PARKED = 1500
"""Seconds until the first vote, before it is moved."""

COMMON = """\
TestingTorNetwork 1
DirAuthority authority orport={or_port} no-v2 v3ident={identity} {authority}:{dir_port} {fingerprint}
DataDirectory {folder}
ControlSocket {folder}/control
__OwningControllerProcess {owner}
AssumeReachable 1
CountPrivateBandwidth 0
PathsNeededToBuildCircuits 0.25
ShutdownWaitLength 0
Log notice stdout
"""

RELAY = """\
Nickname {name}
Address {address}
ORPort {address}:{or_port}
SocksPort 0
ExitRelay {exit}
IPv6Exit {exit}
ExitPolicy {policy} *:*
ExitPolicyRejectPrivate 0
ServerDNSResolvConfFile {base}/resolv.conf
ServerDNSDetectHijacking 0
ServerDNSAllowBrokenConfig 1
ServerDNSTestAddresses localhost
"""

AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
DirPort {address}:{dir_port}
V3AuthVotingInterval 1800
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingV3AuthInitialVotingInterval 1800
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingV3AuthVotingStartOffset {offset}
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
"""

CLIENT = """\
DisableNetwork 1
SocksPort {address}:{socks_port} ExtendedErrors
SocksPort {address}:{plain_socks_port}
SocksPort unix:{folder}/socks ExtendedErrors
SocksTimeout 20
"""

HOST = """\
DisableNetwork 1
SocksPort 0
"""


@dataclass(frozen=True)
class TorNetwork:
    """A running network.

    Attributes:
        proxy: the client's SOCKS port as ``host:port``, with extended error codes.
        plain_proxy: a SOCKS port without extended error codes.
        unix_proxy: a SOCKS port on a unix socket.
        client: the client's control connection.
        host: the control connection of the tor that publishes onion services.
        asked: the names that the exits have looked up so far.
        another: runs another tor of this network, given its name and more lines for its torrc. The same name again has
            the same folder, as after a restart.
    """

    proxy: str
    plain_proxy: str
    unix_proxy: str
    client: Control
    host: Control
    asked: list[str]
    another: Callable[[str, str], AbstractContextManager[TorProcess]]


@dataclass(frozen=True)
class TorProcess:
    """A tor.

    Attributes:
        process: the process.
        address: its own address on loopback.
        folder: its data directory; the unix socket ``control`` is there.
    """

    process: subprocess.Popen[bytes]
    address: str
    folder: Path


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    folder: Path

    @property
    def control_socket(self) -> Path:
        return self.folder / "control"


@contextmanager
def tor_network(base: Path) -> Iterator[TorNetwork]:
    """Run a network for the duration of a ``with`` block."""
    tor, gencert = find("tor", "tor"), find("tor-gencert", "tor")
    prefix = loopback_address().rpartition(".")[0]
    names = ["authority", "relay1", "relay2", "relay3", "relay4", "client", "host"]
    nodes = [Node(name, f"{prefix}.{number}", base / name) for number, name in enumerate(names, 1)]
    authority, relays, client, host = nodes[0], nodes[1:5], nodes[5], nodes[6]
    for node in nodes:
        node.folder.mkdir(mode=0o700)
    (base / "empty").touch()
    (base / "resolv.conf").write_text(f"nameserver {prefix}.53:{DNS_PORT}\n")
    identity, fingerprint = _authority_keys(tor, gencert, authority, base)
    with ExitStack() as stack:
        asked = stack.enter_context(serve_names(f"{prefix}.53", DNS_PORT))
        for node in nodes:
            _write_torrc(node, authority, base, identity, fingerprint)
        processes = {node.name: _start(stack, tor, node, base) for node in nodes}
        controls = {node.name: stack.enter_context(Control(node.control_socket)) for node in (authority, client, host)}
        first, log = processes["authority"], base / "authority.log"
        wait_until(lambda: _descriptors(authority) == len(relays) + 1, first, log)
        _vote_now(controls["authority"])
        wait_until(lambda: _fetch(authority, "/tor/status-vote/current/consensus") != b"", first, log)
        for relay in relays:
            processes[relay.name].send_signal(signal.SIGHUP)
        for node in (client, host):
            controls[node.name].ask("SETCONF DisableNetwork=0")
        for node in (client, host):
            control = controls[node.name]
            wait_until(control.ready, processes[node.name], base / f"{node.name}.log", limit=30.0)
        spare = iter(range(100, 200))

        @contextmanager
        def another(name: str, lines: str) -> Iterator[TorProcess]:
            node = Node(name, f"{prefix}.{next(spare)}", base / name)
            node.folder.mkdir(mode=0o700, exist_ok=True)
            _write_torrc(node, authority, base, identity, fingerprint, lines)
            with ExitStack() as running_tor:
                yield TorProcess(_start(running_tor, tor, node, base), node.address, node.folder)

        yield TorNetwork(
            f"{client.address}:{SOCKS_PORT}",
            f"{client.address}:{PLAIN_SOCKS_PORT}",
            f"unix:{client.folder}/socks",
            controls["client"],
            controls["host"],
            asked,
            another,
        )


def _authority_keys(tor: str, gencert: str, authority: Node, base: Path) -> tuple[str, str]:
    """Create the authority's keys and return the two fingerprints for the torrc files."""
    keys = authority.folder / "keys"
    keys.mkdir(mode=0o700)
    files = [
        part
        for flag, name in (("-i", "identity_key"), ("-s", "signing_key"), ("-c", "certificate"))
        for part in (flag, str(keys / f"authority_{name}"))
    ]
    _run(
        gencert,
        "--create-identity-key",
        "--passphrase-fd",
        "0",
        "-m",
        "12",
        "-a",
        f"{authority.address}:{DIR_PORT}",
        *files,
        given=b"passphrase\n",
    )
    certificate = (keys / "authority_certificate").read_text()
    identity = re.search(r"^fingerprint ([0-9A-F]{40})$", certificate, re.MULTILINE)
    empty = str(base / "empty")
    listed = _run(
        tor,
        "-f",
        empty,
        "--defaults-torrc",
        empty,
        "--hush",
        "--list-fingerprint",
        "--DataDirectory",
        str(authority.folder),
        "--Nickname",
        "authority",
        "--ORPort",
        f"{authority.address}:{OR_PORT}",
    )
    fingerprint = re.search(r"^authority ([0-9A-F ]{49})$", listed, re.MULTILINE)
    assert identity is not None, certificate
    assert fingerprint is not None, listed
    return identity[1], fingerprint[1].replace(" ", "")


def _write_torrc(
    node: Node, authority: Node, base: Path, identity: str, fingerprint: str, lines: str | None = None
) -> None:
    text = COMMON
    if lines is not None:
        text += lines
    elif node.name == "client":
        text += CLIENT
    elif node.name == "host":
        text += HOST
    else:
        text += RELAY + (AUTHORITY if node is authority else "")
    values = {
        "address": node.address,
        "authority": authority.address,
        "base": base,
        "dir_port": DIR_PORT,
        "exit": int(node is not authority),
        "fingerprint": fingerprint,
        "folder": node.folder,
        "identity": identity,
        "name": node.name,
        "offset": int(time.time() + PARKED) % 1800,
        "or_port": OR_PORT,
        "owner": os.getpid(),
        "plain_socks_port": PLAIN_SOCKS_PORT,
        "policy": "reject" if node is authority else "accept",
        "socks_port": SOCKS_PORT,
    }
    (base / f"{node.name}.torrc").write_text(text.format_map(values))


def _start(stack: ExitStack, tor: str, node: Node, base: Path) -> subprocess.Popen[bytes]:
    argv = [tor, "-f", str(base / f"{node.name}.torrc"), "--defaults-torrc", str(base / "empty")]

    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(node.control_socket)) == 0

    return stack.enter_context(running(argv, base / f"{node.name}.log", listens, stop=signal.SIGINT))


def _vote_now(control: Control) -> None:
    # All steps of the vote happen in the second before it becomes valid, so it must be over a second ahead.
    valid_after = int(time.time() + 2.2)
    control.ask(f"SETCONF TestingV3AuthInitialVotingInterval=20 TestingV3AuthVotingStartOffset={valid_after % 20}")


def _descriptors(authority: Node) -> int:
    return len(re.findall(rb"^router ", _fetch(authority, "/tor/server/all"), re.MULTILINE))


def _fetch(authority: Node, path: str) -> bytes:
    """Return a document of the authority, or nothing while there is none."""
    connection = http.client.HTTPConnection(authority.address, DIR_PORT, timeout=5.0)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else b""
    except OSError:
        return b""
    finally:
        connection.close()


def _run(*argv: str, given: bytes = b"") -> str:
    done = subprocess.run(argv, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        pytest.fail(f"{' '.join(argv)} ended with {done.returncode}:\n{output}")
    return output
