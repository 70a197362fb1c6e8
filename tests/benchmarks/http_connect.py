"""B16: many concurrent dials through an HTTP proxy.

All sides end with something usable: ours with the stream, python-socks with the transport that
``create_connection(sock=)`` makes of its socket, httpcore with the network stream of its answer to a CONNECT request.
"""

from __future__ import annotations

from asyncio import sleep

from dial import SETTLED, Burst, Close, Dial, python_socks
from measure import Scale, compare
from processes import server
from report import Row, cpu_row

from ziggurat.layers.http_connect.layer import HttpConnectLayer
from ziggurat.layers.layer import Stack
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

__all__ = ["http_connect"]

TARGET = "192.0.2.1", 443
"""What the sides ask for. The proxy connects to nothing: it would not tell the sides apart."""


def ziggurat(proxy_port: int) -> Dial:
    """Our stack: `HttpConnectLayer` over `TcpConnector`."""
    connector = Stack((HttpConnectLayer(f"127.0.0.1:{proxy_port}"),), TcpConnector())
    target = Uri("tcp", *TARGET)

    async def dial() -> Close:
        return (await connector(target)).aclose

    return dial


def httpcore(proxy_port: int, count: int) -> Dial:
    """httpcore's pool, asked for a CONNECT, as its documentation has it."""
    import httpcore

    pool = httpcore.AsyncConnectionPool(max_connections=2 * count)
    host, port = TARGET
    target = f"{host}:{port}".encode()
    url = httpcore.URL(scheme=b"http", host=b"127.0.0.1", port=proxy_port, target=target)

    async def dial() -> Close:
        request = httpcore.Request("CONNECT", url, headers=[(b"Host", target)])
        response = await pool.handle_async_request(request)
        assert response.status == 200
        stream = response.extensions["network_stream"]

        async def close() -> None:
            await stream.aclose()
            await response.aclose()

        return close

    return dial


async def http_connect(scale: Scale) -> list[Row]:
    """B16: CPU time of a dial, 100 at once."""
    count = scale.units(100, 5)
    async with server("connect") as port:
        sides = {
            "ziggurat": Burst(ziggurat(port), count),
            "python-socks": Burst(python_socks(port, TARGET[1], scheme="http", host=TARGET[0]), count),
            "httpcore": Burst(httpcore(port, count), count),
        }

        async def clear() -> None:
            for burst in sides.values():
                await burst.clear()
            await sleep(SETTLED)

        samples = await compare(sides, scale.pairs(100), between=clear)
    for burst in sides.values():
        if burst.errors:
            raise burst.errors[0]
    what = f"CPU per dial through HTTP CONNECT, {count} at once"
    return [cpu_row("B16", what, samples, other, 0.9, unit="dial") for other in ("python-socks", "httpcore")]
