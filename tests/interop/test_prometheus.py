"""Debian's Prometheus scrapes this process, and each expression of the Grafana board has data there."""

from __future__ import annotations

import json
import math
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from tests.interop.programs import answers, find, loopback_address, running
from ziggurat.layers import MetricsLayer, ServiceBuilder
from ziggurat.services import ConnectError, Connector, TcpConnector, Uri, dial, phase

prometheus_client = pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

BOARD = Path(__file__).parents[2] / "layers" / "metrics" / "grafana.json"

CONFIGURATION = """\
global:
  scrape_interval: 500ms
scrape_configs:
  - job_name: ziggurat
    static_configs:
      - targets: ["{target}"]
"""

PORT = 9090
LIMIT = 40.0
"""Seconds until every expression must have data; two scrapes a second apart are enough."""


def expressions() -> list[str]:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m").replace("$stack", ".*") for text in found]


@contextmanager
def exposed(registry: Any) -> Iterator[str]:
    """Serve the metrics of a registry, as a program does."""
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    program, host = find("prometheus", "prometheus"), loopback_address()
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(target=target), encoding="utf-8")
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={host}:{PORT}",
        "--log.level=warn",
    ]
    with running(command, folder / "output.log", lambda: answers(host, PORT)):
        yield f"http://{host}:{PORT}"


def query(base: str, expression: str) -> list[float]:
    """Return the values that Prometheus has for an expression now, without those that are not numbers."""
    url = f"{base}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with closing(urllib.request.urlopen(url, timeout=10.0)) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with closing(error):
            pytest.fail(f"{expression}: {error.read().decode()}")
    assert answer["status"] == "success", answer
    values = (float(each["value"][1]) for each in answer["data"]["result"])
    return [value for value in values if not math.isnan(value)]


def limping(inner: Connector) -> Connector:
    """A phase that its limit ends, each time."""

    async def connect(uri: Uri) -> ByteStream:
        with dial(uri), phase("limp", limit=0.01):
            await anyio.sleep_forever()
        raise AssertionError

    return connect


async def keep_dialling(stack: ServiceBuilder, uri: Uri, closed: Uri) -> None:
    """Dial what answers, what does not listen, and what takes too long, over and over; keep one stream in use."""
    kept = await stack.service(TcpConnector())(uri)
    while True:
        await kept.send(b"ping")
        await (await stack.service(TcpConnector())(uri)).aclose()
        for failing in (stack.service(TcpConnector()), stack.layer(limping).service(TcpConnector())):
            with pytest.raises(ConnectError):
                await failing(closed)
        await anyio.sleep(0.05)


async def test_each_expression_of_the_board_has_data(tmp_path: Path) -> None:
    registry = prometheus_client.CollectorRegistry()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener, socket.create_server(("127.0.0.1", 0)) as no:
        uri, closed = (Uri("tcp", *each.getsockname()) for each in (listener, no))
        no.close()
        with exposed(registry) as target, prometheus(tmp_path, target) as base:
            missing = dict.fromkeys(expressions())
            assert len(missing) >= 12
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keep_dialling, ServiceBuilder([MetricsLayer(registry, stack="test")]), uri, closed)
                with anyio.move_on_after(LIMIT):
                    while missing:
                        await anyio.sleep(0.2)
                        for expression in list(missing):
                            if await anyio.to_thread.run_sync(query, base, expression):
                                del missing[expression]
                tasks.cancel_scope.cancel()

    assert not missing


async def test_promtool_finds_nothing_to_complain_about_in_the_names(tmp_path: Path) -> None:
    """Names, units, types and help texts, as Prometheus's own linter wants them."""
    registry = prometheus_client.CollectorRegistry()
    promtool = find("promtool", "prometheus")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connector = ServiceBuilder([MetricsLayer(registry)]).service(TcpConnector())
        await (await connector(Uri("tcp", *listener.getsockname()))).aclose()
    with exposed(registry) as target:
        page = await anyio.to_thread.run_sync(lambda: urllib.request.urlopen(f"http://{target}/metrics").read())
    lint = await anyio.run_process([promtool, "check", "metrics"], input=page, check=False)

    assert b"ziggurat_dials_total" in page
    assert [line for line in lint.stderr.decode().splitlines() if "ziggurat" in line] == []
