"""What ``ziggurat probe`` says of each code, from the proxy's bytes to the lines and the exit code."""

from __future__ import annotations

from functools import partial

import anyio.to_thread
import pytest

from ziggurat.layers import TorReply
from ziggurat.layers.testing import ScriptedProxy
from ziggurat.node.cli.command import main
from ziggurat.node.cli.tor_reply import explain_reply, reply_of
from ziggurat.services import ConnectRefused, ProxyRefused, Uri

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"

TARGETS, OURS, NOBODY = "the target's fault", "on this side", "the cause is unclear"

CODES: list[tuple[int, str, str, str, str, int]] = [
    # The code, its meaning, whose fault it is, when to try again, a part of what to do, and the exit code.
    (0x01, "general failure", NOBODY, "a few seconds", "set ExtendedErrors on SocksPort", 3),
    (0x02, "not allowed by its rules", OURS, "not work without a change", "a flag of the SocksPort line", 3),
    (0x03, "network unreachable", OURS, "a few seconds", "look at this machine's network", 1),
    (0x04, "host unreachable", TARGETS, "some minutes", "check the name", 1),
    (0x05, "connection refused", TARGETS, "some minutes", "check the port", 1),
    (0x06, "TTL expired", NOBODY, "a few seconds", "SocksTimeout", 1),
    (0x07, "command not supported", OURS, "not work without a change", "check that this is Tor's SocksPort", 3),
    (0x08, "address type not supported", OURS, "not work without a change", "as text", 3),
    (0xF0, "descriptor not found", TARGETS, "some minutes", "check the name", 1),
    (0xF1, "descriptor invalid", TARGETS, "some minutes", "its operator", 1),
    (0xF2, "introduction failed", TARGETS, "a few seconds", "just gone", 1),
    (0xF3, "rendezvous failed", NOBODY, "a few seconds", "try again", 1),
    (0xF4, "client authorization missing", OURS, "not work without a change", "ClientOnionAuthDir", 1),
    (0xF5, "client authorization wrong", OURS, "not work without a change", "ask its operator for another", 1),
    (0xF6, "address invalid", OURS, "not work without a change", "mistyped", 1),
    (0xF7, "introduction timed out", TARGETS, "a few seconds", "down or overloaded", 1),
]


async def probed(proxy: ScriptedProxy, *arguments: str) -> int:
    async with proxy.serve() as at:
        return await anyio.to_thread.run_sync(partial(main, ["probe", *arguments, "--socks5-proxy", at.authority]))


@pytest.mark.asyncio_only
@pytest.mark.real_io
@pytest.mark.parametrize(
    ("code", "meaning", "fault", "retry", "advice", "exit_code"), CODES, ids=[f"{code:#04x}" for code, *_ in CODES]
)
async def test_each_code_is_explained(
    code: int, meaning: str, fault: str, retry: str, advice: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await probed(ScriptedProxy(reply=code), ONION) == exit_code
    *_, line, hint = capsys.readouterr().out.splitlines()

    assert line.startswith(f"Tor's code {code:#04x}, ")
    assert meaning in line
    assert fault in line
    assert retry in line
    assert advice in hint


def test_the_table_has_every_code() -> None:
    assert [code for code, *_ in CODES] == sorted(TorReply)
    assert len({explain_reply(TorReply(code)) for code, *_ in CODES}) == len(CODES)


@pytest.mark.asyncio_only
@pytest.mark.real_io
@pytest.mark.parametrize("code", [0x09, 0xF8, 0xFF])
async def test_a_code_that_nobody_knows_is_not_explained(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await probed(ScriptedProxy(reply=code), ONION) == 3
    out = capsys.readouterr().out

    assert out.splitlines()[-1].startswith("Failed: ")
    assert f"({code:#04x})" in out


@pytest.mark.parametrize(
    ("code", "host", "tor", "expected"),
    [
        (0x05, ONION, False, TorReply.CONNECTION_REFUSED),
        (0x05, "192.0.2.1", False, None),  # any proxy says so, and not every one means what Tor means
        (0x05, "192.0.2.1", True, TorReply.CONNECTION_REFUSED),
        (0xF3, "192.0.2.1", False, TorReply.RENDEZVOUS_FAILED),  # only Tor says so
        (None, ONION, True, None),
    ],
)
def test_a_code_is_tors_if_the_proxy_is(code: int | None, host: str, tor: bool, expected: TorReply | None) -> None:
    error = ProxyRefused("no", reply_code=code)
    error.target = Uri("http", host, 1)

    assert reply_of(error, tor=tor) is expected


def test_what_did_not_come_from_the_proxy_has_no_code() -> None:
    assert reply_of(ConnectRefused("no"), tor=True) is None
    assert reply_of(None, tor=True) is None
