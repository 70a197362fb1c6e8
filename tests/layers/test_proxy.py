from __future__ import annotations

import ssl
from pathlib import Path

import anyio
import pytest
import trustme
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener

from ziggurat.layers import ServiceBuilder, Socks5Layer, TlsLayer, UserPass
from ziggurat.layers.http_connect import HttpConnectLayer
from ziggurat.layers.proxy import PROXY_SCHEMES, masked_proxy, proxy_layers
from ziggurat.layers.socks4 import Socks4Layer
from ziggurat.layers.testing import ScriptedHttpProxy, Socks5Server
from ziggurat.services.errors import TlsError
from ziggurat.services.stream import DialAttribute
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri


@pytest.mark.parametrize(
    ("url", "layers"),
    [
        ("http://proxy.corp:3128", [HttpConnectLayer("http://proxy.corp:3128")]),
        ("https://proxy.corp", [HttpConnectLayer("https://proxy.corp"), TlsLayer(alpn=())]),
        ("socks4://proxy.corp", [Socks4Layer("socks4://proxy.corp", remote_dns=False)]),
        ("socks4a://proxy.corp", [Socks4Layer("socks4a://proxy.corp", remote_dns=True)]),
        ("socks5://proxy.corp", [Socks5Layer("proxy.corp:1080")]),
        ("SOCKS5H://proxy.corp:9050/", [Socks5Layer("proxy.corp:9050")]),
        ("unix:/run/tor/socks", [Socks5Layer("unix:/run/tor/socks")]),
        (Uri.parse("socks5://proxy.corp"), [Socks5Layer("proxy.corp")]),
        (Uri.parse("https://proxy.corp"), [HttpConnectLayer(Uri.parse("https://proxy.corp")), TlsLayer(alpn=())]),
    ],
)
def test_the_layers_of_each_scheme(url: str | Uri, layers: list[object]) -> None:
    assert list(proxy_layers(url)) == layers


def test_credentials_are_percent_encoded() -> None:
    (layer,) = proxy_layers("socks5://al%40ice:s%3Acret%2F@proxy.corp")

    assert isinstance(layer, Socks5Layer)
    assert layer.auth == UserPass("al@ice", "s:cret/")


def test_in_a_chain_the_first_is_dialled_by_this_machine() -> None:
    chain = ["https://near.test", "socks5://u:p@middle.test", "socks5://far.test"]

    assert proxy_layers(chain) == (
        Socks5Layer("far.test"),
        Socks5Layer("middle.test", auth=UserPass("u", "p")),
        HttpConnectLayer("https://near.test"),
        TlsLayer(alpn=()),
    )
    assert ServiceBuilder().timeout(1.0).proxy(chain).layers[1:] == proxy_layers(chain)


@pytest.mark.parametrize("scheme", ["ftp", "socks", "tcp", "ssh", "quic", "httpx"])
def test_an_unknown_scheme_is_named(scheme: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown proxy scheme '{scheme}'.*expected {', '.join(PROXY_SCHEMES)}"):
        proxy_layers(f"{scheme}://u:secret@proxy.corp")
    with pytest.raises(ValueError, match="unknown proxy scheme 'tcp'"):
        proxy_layers(Uri("tcp", "proxy.corp", 1))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("proxy.corp:1080", "begins with its scheme, but 'proxy.corp:1080' has none"),
        ("proxy.corp:1080:user:secret", "but this one has none; expected http://user:password@host:port"),
        ("user:secret@proxy.corp", "but this one has none"),
        ("", "but this one has none"),
        ("p ass://secret", "unknown proxy scheme; expected"),
        ("socks5://u:secret@proxy.corp:0", "bad port"),
        ("socks5://", "bad host"),
        ([], "a chain of proxies is empty"),
        (["socks5://near.test", "unix:/run/tor"], "can only be the first of a chain"),
        (["socks5://near.test", "ftp://x"], "unknown proxy scheme 'ftp'"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(url: str | list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        proxy_layers(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [None, 7, b"socks5://a", [None], {"a": 1}])
def test_something_else_than_text_is_a_type_error(url: object) -> None:
    with pytest.raises(TypeError, match="a proxy is a str"):
        proxy_layers(url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("socks5://u:secret@proxy.corp:1/", "socks5://***@proxy.corp:1"),
        ("HTTP://token@proxy.corp", "http://***@proxy.corp"),
        ("unix:/run/a@b", "unix:/run/a@b"),
        (Uri.parse("socks5://a.test"), "socks5://a.test:1080"),
        (["http://a.test", "http://u:secret@b.test"], "http://a.test, then http://***@b.test"),
    ],
)
def test_a_proxy_is_shown_without_its_credentials(url: str | Uri | list[str | Uri], shown: str) -> None:
    assert masked_proxy(url) == shown


@pytest.mark.real_io
async def test_a_chain_goes_through_its_proxies_in_order() -> None:
    async with Socks5Server({"u": "p"}).serve() as near, ScriptedHttpProxy().serve() as far:
        connector = ServiceBuilder().proxy([f"socks5://u:p@{near.authority}", str(far)]).service(TcpConnector())
        async with await connector(Uri.parse("http://target.example")) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            phases = stream.extra(DialAttribute.ledger).phases

    assert [(phase.name, phase.via) for phase in phases] == [
        ("tcp", near.authority),
        ("proxy.greeting", near.authority),
        ("proxy.auth", near.authority),
        ("proxy.connect", near.authority),
        ("proxy.connect", far.authority),
    ]


@pytest.mark.real_io
async def test_an_https_proxy_is_spoken_to_in_tls_whose_name_is_verified(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, scripted = trustme.CA(), ScriptedHttpProxy()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        scripted,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(TLSListener(listener, context, standard_compatible=False).serve, scripted.handle)
        port = listener.extra(SocketAttribute.local_port)
        target = Uri.parse("https://target.example")
        stack = ServiceBuilder().proxy(f"https://u:p@localhost:{port}").service(TcpConnector())
        async with await stack(target) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            phases = [(phase.name, phase.via) for phase in stream.extra(DialAttribute.ledger).phases]

        with pytest.raises(TlsError, match="127"):
            await ServiceBuilder().proxy(f"https://127.0.0.1:{port}").service(TcpConnector())(target)
        tasks.cancel_scope.cancel()

    assert phases[-2:] == [("tls", "localhost"), ("proxy.connect", f"localhost:{port}")]
    assert scripted.sessions[0].requests[0].header("proxy-authorization") == "Basic dTpw"
