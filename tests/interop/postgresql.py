"""A PostgreSQL server of its own, in a temporary folder, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.programs import SYSTEM, answers, find, loopback_address, running
from tests.layers.clients.servers import AUTHORITY, HOST

PORT = 5432
USER, PASSWORD = "ziggurat", "open sesame"

SETTINGS = """\
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{folder}'
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
fsync = off
shared_buffers = 1MB
max_connections = 20
"""

RULES = "host all all 0.0.0.0/0 scram-sha-256\n"


def program(name: str) -> str:
    """Return the path of a server's program, which Debian keeps off the PATH."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    path = shutil.which(name, path=os.pathsep.join((*folders, os.environ.get("PATH", os.defpath), *SYSTEM)))
    return path or find(name, "postgresql")


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a server with TLS, for the names ``target.example`` and ``localhost``; yields its IP address."""
    initdb, postgres, address = program("initdb"), program("postgres"), loopback_address()
    prefix = _unprivileged(folder)
    data, password = folder / "data", folder / "password"
    password.write_text(PASSWORD)
    certificate = AUTHORITY.issue_cert(HOST, "localhost")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    (folder / "server.crt").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "server.key").chmod(0o600)
    if prefix:
        owner = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    made = subprocess.run(
        [*prefix, initdb, "-D", str(data), "-U", USER, "--pwfile", str(password), "-A", "scram-sha-256", "--no-sync"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS.format(address=address, port=PORT, folder=folder))
    (data / "pg_hba.conf").write_text(RULES)
    with running(
        [*prefix, postgres, "-D", str(data)],
        folder / "postgres.log",
        lambda: answers(address, PORT),
        stop=signal.SIGINT,  # does not wait for its clients
    ):
        yield address


def _unprivileged(folder: Path) -> list[str]:
    """Return a command prefix: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        owner = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no account nobody")
    return [
        *(find("setpriv", "util-linux"), f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}"),
        *("--clear-groups", "env", f"HOME={folder}"),
    ]
