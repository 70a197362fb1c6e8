from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.layers.leakcheck.namespaces import need_namespaces, python
from ziggurat.layers.leakcheck import leakcheck
from ziggurat.layers.leakcheck.namespace import NamespaceError, mount_over


def test_the_program_keeps_its_user_and_has_another_resolver() -> None:
    need_namespaces()
    program = f"""
    import os
    same = (os.geteuid(), os.getegid()) == {(os.geteuid(), os.getegid())}
    sys.exit(not same or "10.254.254.53" not in open("/etc/resolv.conf").read())
    """
    before = Path("/etc/resolv.conf").read_bytes()
    assert leakcheck(python(program), proxies=[]).code == 0
    assert Path("/etc/resolv.conf").read_bytes() == before, "that of the machine is as it was"


def test_a_proxys_name_is_known_inside() -> None:
    need_namespaces()
    report = leakcheck(python("sys.exit('127.0.0.1' != socket.gethostbyname('localhost'))"), proxies=["localhost:1"])

    assert (report.code, report.findings) == (0, ())


def test_a_file_that_cannot_be_replaced() -> None:
    with pytest.raises(NamespaceError, match=r"^/no/such/file cannot be replaced in the namespace \("):
        mount_over("/dev/null", "/no/such/file")
