"""``ziggurat probe`` as a process: its output and exit codes."""

from __future__ import annotations

import errno
import json
from functools import partial

import anyio
import anyio.to_thread
import pytest
from anyio.abc import ByteStream

from tests.node.running import run
from ziggurat.layers.testing import HttpReply, ScriptedHttpProxy, Socks5Server
from ziggurat.layers.testing.socks5_server import relay
from ziggurat.node.cli.command import main
from ziggurat.node.testing import KaspaPeer
from ziggurat.services import Uri

pytestmark = [pytest.mark.slow, pytest.mark.asyncio_only, pytest.mark.real_io]


async def probed(*arguments: object, **variables: str) -> tuple[int, str, str]:
    done = await anyio.to_thread.run_sync(partial(run, "probe", *arguments, **variables))
    assert "ResourceWarning" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


async def refuse(uri: Uri) -> ByteStream:
    raise ConnectionRefusedError(errno.ECONNREFUSED, "no")


async def test_a_peer_that_answers_is_shown_and_the_exit_code_is_0() -> None:
    peer = KaspaPeer()
    async with peer.run(), peer.listen() as address:
        code, out, _ = await probed(address, "--devnet")

    assert code == 0
    for word in ("tcp", "http2", "handshake", "█", peer.id.hex(), "/kaspad:2.1.0/", "kaspa-devnet"):
        assert word in out


async def test_json_is_one_object_and_nothing_else_on_stdout() -> None:
    peer = KaspaPeer()
    proxy = Socks5Server()
    async with peer.run(), peer.listen() as address, proxy.serve() as at:
        code, out, _ = await probed(address, "--devnet", "--json", "--socks5-proxy", at.authority)
    report = json.loads(out)

    assert code == 0
    assert out.count("\n") == 1
    assert set(report) == {"schema", "ok", "target", "via", "phases", "peer"}
    assert (report["ok"], report["target"], report["via"]) == (True, f"http://{address}", at.authority)
    assert [entry["phase"] for entry in report["phases"]] == [
        *("tcp", "proxy.greeting", "proxy.connect", "http2", "handshake")
    ]
    assert set(report["peer"]) == {"id", "user_agent", "protocol_version", "network", "services"}


async def test_a_refused_connection_exits_with_1() -> None:
    code, out, _ = await probed("127.0.0.1:1", "--json")
    report = json.loads(out)

    assert code == 1
    assert set(report) == {"schema", "ok", "target", "via", "phases", "error"}
    assert (report["error"]["type"], report["error"]["phase"]) == ("ConnectRefused", "tcp")
    assert report["error"]["reply_code"] is None


async def test_a_proxy_that_reports_a_refused_connection_exits_with_1() -> None:
    async with Socks5Server(connector=refuse).serve() as at:
        code, out, _ = await probed("peer.example", "--proxy", at.authority, "--json")

    assert code == 1
    assert json.loads(out)["error"]["reply_code"] == 5
    assert json.loads(out)["target"] == "http://peer.example:16111"


async def test_an_unreachable_proxy_exits_with_3() -> None:
    code, out, _ = await probed("peer.example", ZIGGURAT_SOCKS5_PROXY="127.0.0.1:1")

    assert code == 3
    assert "Failed: " in out


@pytest.mark.parametrize(("status", "exit_code"), [(503, 1), (403, 3)])
async def test_the_exit_code_follows_an_http_proxys_answer(status: int, exit_code: int) -> None:
    async with ScriptedHttpProxy(HttpReply(status, "no")).serve() as at:
        code, out, err = await probed("peer.example", "--proxy", f"http://u:S3CRET@{at.authority}", "--json")
    report = json.loads(out)

    assert code == exit_code
    assert (report["error"]["type"], report["error"]["phase"]) == ("ProxyRefused", "proxy.connect")
    assert report["via"] == at.authority
    assert "S3CRET" not in out + err


async def test_a_peer_behind_an_http_proxy_answers() -> None:
    peer = KaspaPeer()
    async with peer.run(), peer.listen() as address:

        async def target(client: ByteStream) -> None:
            async with await anyio.connect_tcp(str(address.ip), address.port) as far:
                await relay(client, far)

        async with ScriptedHttpProxy(target=target).serve() as at:
            code, out, _ = await probed("peer.example", "--devnet", "--proxy", str(at), "--json")
    report = json.loads(out)

    assert code == 0
    assert [entry["phase"] for entry in report["phases"]] == ["tcp", "proxy.connect", "http2", "handshake"]


async def test_a_rejected_password_exits_with_3_and_is_not_printed() -> None:
    async with Socks5Server({"u": "p"}).serve() as at:
        code, out, err = await probed("peer.example", "--proxy", f"socks5://u:S3CRET@{at.authority}")

    assert code == 3
    assert "S3CRET" not in out + err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a b"],
        ["h:0"],
        ["h:1", "--timeout=0"],
        ["h:1", "--timeout=x"],
        ["h:1", "--timeout=inf"],
        ["h:1", "--proxy="],
        ["h:1", "--proxy=env"],
        ["h:1", "--proxy=ftp://h"],
        ["h:1", "--proxy=http://h", "--socks5-proxy=h"],
        ["h:1", "--devnet", "--testnet"],
        ["h:1", "--listen=127.0.0.1"],
    ],
)
def test_bad_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["probe", *arguments])

    assert caught.value.code == 2
    assert capsys.readouterr().out == ""
