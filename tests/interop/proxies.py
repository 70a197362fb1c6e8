"""SOCKS5 servers from Debian packages, each on its own loopback address."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.programs import answers, find, loopback_address, running
from ziggurat.layers import Socks5Layer

PORT = 1080

LIMIT = 30.0
"""Limit in seconds of a dial that would otherwise hang: an error says more than a test that never ends."""

USER, PASSWORD = "ziggurat", "sesame"

PASSWORD_HASH = "$6$ziggurat$28lz5EwiEUVjtqGRJcHWd5wqNtzYoFojBSstiTzlTEG5HPN8nk/bxKK.FliXgkluTDhvWNtGvpmW3cIMX1rEf/"
"""The hash of ``PASSWORD`` for /etc/shadow."""

DANTE = """\
logoutput: stderr
internal: {address} port = {port}
external: lo
clientmethod: none
socksmethod: {method}
client pass {{
    from: 0/0 to: 0/0
}}
socks pass {{
    from: 0/0 to: 0/0
}}
"""

# PAM, since without it sshd treats an account without a password as locked.
SSHD = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
PermitTTY no
PidFile none
"""


def through(proxy: str, **settings: Any) -> Socks5Layer:
    """Return the layer under test, with a limit on the CONNECT."""
    return Socks5Layer(proxy, **{"connect_timeout": LIMIT, **settings})


@contextmanager
def microsocks(folder: Path, *, auth: bool = False) -> Iterator[str]:
    """Run microsocks; yields its ``host:port``."""
    program, address = find("microsocks", "microsocks"), loopback_address()
    argv = [program, "-i", address, "-p", str(PORT)]
    if auth:
        argv += ["-u", USER, "-P", PASSWORD]
    with running(argv, folder / "microsocks.log", lambda: answers(address, PORT)):
        yield f"{address}:{PORT}"


@contextmanager
def dante(folder: Path, *, auth: bool = False) -> Iterator[str]:
    """Run Dante; yields its ``host:port``. It uses the system's accounts, so with ``auth`` it gets a private /etc."""
    program, address = find("danted", "dante-server"), loopback_address()
    config = folder / "danted.conf"
    method = "username" if auth else "none"
    config.write_text(DANTE.format(address=address, port=PORT, method=method))
    argv = [program, "-f", str(config), "-N", "1", "-p", str(folder / "danted.pid")]
    if auth:
        argv = [*_private_accounts(folder), *argv]
    with running(argv, folder / "danted.log", lambda: answers(address, PORT)):
        yield f"{address}:{PORT}"


def _private_accounts(folder: Path) -> list[str]:
    """Return a command prefix that runs a program in a mount namespace with our user in /etc/passwd."""
    if os.geteuid() != 0:
        pytest.skip("dante checks passwords against the system's accounts: only root can give it a test account")
    unshare = find("unshare", "util-linux")
    if subprocess.run([unshare, "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace, which dante's test account needs")
    accounts = f"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n{USER}:x:65533:65534::/:/bin/false\n"
    (folder / "passwd").write_text(accounts)
    (folder / "shadow").write_text(f"root:*:1:0:99999:7:::\nnobody:*:1:0:99999:7:::\n{USER}:{PASSWORD_HASH}:1::::::\n")
    (folder / "shadow").chmod(0o600)
    mount = f'mount --bind "{folder}/passwd" /etc/passwd && mount --bind "{folder}/shadow" /etc/shadow && exec "$@"'
    return [unshare, "-m", "sh", "-c", mount, "sh"]


@contextmanager
def ssh(folder: Path) -> Iterator[str]:
    """Run ``ssh -D`` to its own sshd over a pipe; yields its ``host:port``."""
    program, daemon = find("ssh", "openssh-client"), find("sshd", "openssh-server")
    keygen, address = find("ssh-keygen", "openssh-client"), loopback_address()
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        pytest.skip("sshd needs an account for the current user")
    for name in ("host", "key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "sshd_config").write_text(SSHD.format(folder=folder))
    options = {
        "BatchMode": "yes",
        "ExitOnForwardFailure": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": str(folder / "key"),
        "LogLevel": "ERROR",  # otherwise each refused target logs a line
        "ProxyCommand": f"{daemon} -i -e -f {folder}/sshd_config",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
    }
    argv = [program, "-F", "none", "-N", "-D", f"{address}:{PORT}"]
    argv += [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    with (
        _privilege_separation_folder(),
        running([*argv, f"{user}@sshd"], folder / "ssh.log", lambda: answers(address, PORT), stop=signal.SIGTERM),
    ):
        yield f"{address}:{PORT}"


@contextmanager
def _privilege_separation_folder() -> Iterator[None]:
    """Create /run/sshd, which sshd requires when run as root; usually the service unit creates it."""
    folder = Path("/run/sshd")
    made = os.geteuid() == 0 and not folder.exists()
    if made:
        folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            folder.rmdir()
