"""Tests against real programs. A test is skipped, with the reason, if its program or package is not installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import trustme

from tests.interop import http_proxies, proxies
from tests.interop.http_proxies import Squid
from tests.interop.tor_network import TorNetwork, tor_network
from tests.interop.traces import Trace, run_traced, strace_that_works

RERUNS = 2
"""A third-party program may fail on a busy machine: a Tor circuit breaks, a daemon is slow. A test that fails three
times in a row is our bug. pytest's last line counts the reruns."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))


@pytest.fixture(scope="session")
def new_folder() -> Iterator[Callable[[str], Path]]:
    """Return a function that makes a private folder for one program, with a short path for unix sockets."""
    with ExitStack() as folders:

        def make(name: str) -> Path:
            folder = Path(tempfile.mkdtemp(prefix=f"ziggurat-{name}-"))
            folders.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder

        yield make


@pytest.fixture(scope="session")
def microsocks(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with proxies.microsocks(new_folder("microsocks")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def microsocks_with_password(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with proxies.microsocks(new_folder("microsocks"), auth=True) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def dante(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with proxies.dante(new_folder("dante")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def dante_with_password(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with proxies.dante(new_folder("dante"), auth=True) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def ssh(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with proxies.ssh(new_folder("ssh")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def tor(new_folder: Callable[[str], Path]) -> Iterator[TorNetwork]:
    with tor_network(new_folder("tor")) as network:
        yield network


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def squid(new_folder: Callable[[str], Path], authority: trustme.CA) -> Iterator[Squid]:
    with http_proxies.squid(new_folder("squid"), authority.issue_cert("localhost")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def tinyproxy(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with http_proxies.tinyproxy(new_folder("tinyproxy")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def tinyproxy_with_password(new_folder: Callable[[str], Path]) -> Iterator[str]:
    with http_proxies.tinyproxy(new_folder("tinyproxy"), auth=True) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def haproxy(new_folder: Callable[[str], Path], authority: trustme.CA, squid: Squid) -> Iterator[str]:
    with http_proxies.haproxy(new_folder("haproxy"), authority.issue_cert("localhost"), squid.locked) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def privoxy(new_folder: Callable[[str], Path], tor: TorNetwork) -> Iterator[str]:
    with http_proxies.privoxy(new_folder("privoxy"), tor.proxy) as proxy:
        yield proxy


@pytest.fixture
def traced(tmp_path: Path) -> Callable[[Sequence[str]], Awaitable[Trace]]:
    """Return a function that runs a command under strace. A fixture, since a skip inside a task group is an error."""
    return partial(run_traced, strace_that_works(), tmp_path)
