"""A pytest plugin for grpclib's own tests: they get our channel and server, and their outcomes go to a file.

It runs in a process of its own, with ``modules`` on the path, where the helper modules of those tests are ours.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpclib.client
import grpclib.server
import grpclib.testing
import pytest
import pytest_asyncio
from grpclib.config import Configuration

from tests.interop.grpclib_source import MIXIN, REPORT
from tests.interop.grpclib_suite.channel import GrpclibChannel, Uses
from tests.interop.grpclib_suite.server import MixinServer

BEFORE = pytest.StashKey[tuple[int, int]]()


def pytest_configure(config: pytest.Config) -> None:
    if REPORT in os.environ:
        grpclib.client.Channel = grpclib.testing.Channel = GrpclibChannel  # type: ignore[misc,attr-defined]
    if os.environ.get(MIXIN) == "1":
        grpclib.server.Server = grpclib.testing.Server = MixinServer  # type: ignore[misc,attr-defined]


@pytest_asyncio.fixture(name="loop")
async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.fixture(name="config")
def configuration() -> Configuration:
    return Configuration().__for_test__()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.stash[BEFORE] = (Uses.calls, Uses.requests)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    if REPORT in os.environ and (report.when == "call" or report.outcome != "passed"):
        calls, requests = item.stash[BEFORE]
        line = {
            "test": f"{item.path.name}::{item.name.partition('[')[0]}",
            "case": item.name,
            "outcome": report.outcome,
            "error": "" if call.excinfo is None else call.excinfo.exconly()[-400:],
            "called": Uses.calls > calls,
            "served": Uses.requests > requests,
        }
        with Path(os.environ[REPORT]).open("a") as file:
            file.write(json.dumps(line) + "\n")
    return report
