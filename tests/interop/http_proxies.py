"""HTTP proxies from Debian packages, each on its own loopback address."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.interop.programs import answers, find, loopback_address, running
from tests.interop.proxies import PASSWORD, PASSWORD_HASH, USER

REALM = "a realm, with a comma"

FORBIDDEN_PORT = 9
"""Squid's rules deny it."""

OPEN, LOCKED, TLS = 3128, 3129, 3130
"""Squid's ports: for anybody, with a password, and the latter over TLS."""

SQUID = """\
http_port {address}:3128 name=open
http_port {address}:3129 name=locked
{tls}
{auth}
acl forbidden port {forbidden}
acl open myportname open
http_access deny forbidden
http_access allow CONNECT open
http_access allow CONNECT users
http_access deny all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename none
coredump_dir {folder}
pinger_enable off
dns_nameservers {address}
dns_timeout 1 seconds
forward_timeout 5 seconds
shutdown_lifetime 0 seconds
"""

SQUID_AUTH = """\
auth_param digest program {helpers}/digest_file_auth -c {folder}/digest
auth_param digest realm {realm}
auth_param digest children 2 startup=1
auth_param ntlm program {helpers}/ntlm_fake_auth
auth_param ntlm children 2 startup=1
auth_param basic program {helpers}/basic_ncsa_auth {folder}/basic
auth_param basic realm {realm}
auth_param basic children 2 startup=1
acl users proxy_auth REQUIRED
"""

TINYPROXY = """\
Port 8888
Listen {address}
Timeout 60
MaxClients 100
LogFile "{folder}/tinyproxy.messages"
{auth}
"""

PRIVOXY = """\
confdir /etc/privoxy
templdir /etc/privoxy/templates
listen-address {address}:8118
forward-socks5t / {tor} .
"""

HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend tls
    bind {address}:3443 ssl crt {folder}/haproxy.pem
    default_backend proxy
backend proxy
    server proxy {proxy}
"""


@dataclass(frozen=True)
class Squid:
    """A running squid: its ports as ``host:port``. ``tls`` is ``None`` if it was built without OpenSSL."""

    open: str
    locked: str
    tls: str | None


@contextmanager
def squid(folder: Path, certificate: trustme.LeafCert) -> Iterator[Squid]:
    """Run squid."""
    program, address = find("squid", "squid-openssl"), loopback_address()
    helpers = Path("/usr/lib/squid")
    if not (helpers / "basic_ncsa_auth").exists():
        pytest.skip(f"squid's helpers are not in {helpers}")
    folder.chmod(0o777)  # run as root, squid becomes another user, and so do its helpers
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "squid.pem")
    (folder / "basic").write_text(f"{USER}:{PASSWORD_HASH}\n")
    digest = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    (folder / "digest").write_text(f"{USER}:{REALM}:{digest}\n")
    with_tls = _built_with_openssl(program)
    tls = f"https_port {address}:3130 name=tls tls-cert={folder}/squid.pem" if with_tls else ""
    configuration = folder / "squid.conf"
    configuration.write_text(
        SQUID.format(
            address=address,
            folder=folder,
            forbidden=FORBIDDEN_PORT,
            tls=tls,
            auth=SQUID_AUTH.format(helpers=helpers, folder=folder, realm=REALM),
        )
    )
    for path in folder.iterdir():
        path.chmod(0o644)
    argv = [program, "-N", "-f", str(configuration)]
    with running(argv, folder / "output.log", lambda: answers(address, OPEN), limit=30.0):
        yield Squid(f"{address}:{OPEN}", f"{address}:{LOCKED}", f"{address}:{TLS}" if with_tls else None)


def _built_with_openssl(program: str) -> bool:
    return "--with-openssl" in subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout


@contextmanager
def tinyproxy(folder: Path, *, auth: bool = False) -> Iterator[str]:
    """Run tinyproxy; yields its ``host:port``."""
    program, address = find("tinyproxy", "tinyproxy"), loopback_address()
    configuration = folder / "tinyproxy.conf"
    credentials = f"BasicAuth {USER} {PASSWORD}" if auth else ""
    configuration.write_text(TINYPROXY.format(address=address, folder=folder, auth=credentials))
    argv = [program, "-d", "-c", str(configuration)]
    with running(argv, folder / "output.log", lambda: answers(address, 8888)):
        yield f"{address}:8888"


@contextmanager
def privoxy(folder: Path, tor: str) -> Iterator[str]:
    """Run privoxy in front of Tor; yields its ``host:port``."""
    program, address = find("privoxy", "privoxy"), loopback_address()
    configuration = folder / "config"
    configuration.write_text(PRIVOXY.format(address=address, tor=tor))
    with running([program, "--no-daemon", str(configuration)], folder / "output.log", lambda: answers(address, 8118)):
        yield f"{address}:8118"


@contextmanager
def haproxy(folder: Path, certificate: trustme.LeafCert, proxy: str) -> Iterator[str]:
    """Run haproxy as the TLS end in front of a proxy; it knows no CONNECT itself. Yields its ``host:port``."""
    program, address = find("haproxy", "haproxy"), loopback_address()
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "haproxy.pem")
    configuration = folder / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(address=address, folder=folder, proxy=proxy))
    with running([program, "-db", "-f", str(configuration)], folder / "output.log", lambda: answers(address, 3443)):
        yield f"{address}:3443"
