from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.node.tor.protocol_info import ProtocolInfo

VERSION = 'VERSION Tor="0.4.9.11"'


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        (["PROTOCOLINFO 1", "AUTH METHODS=NULL", VERSION], ProtocolInfo(("NULL",), None, "0.4.9.11")),
        (
            [VERSION, r'AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/od d/\303\251\"q/\tx"', "NEW line"],
            ProtocolInfo(("COOKIE", "SAFECOOKIE"), Path('/od d/é"q/\tx'), "0.4.9.11"),
        ),
        # control-spec 3.21: a controller ignores methods and lines that it does not know.
        (["AUTH METHODS=NULL,LATER X=y", 'VERSION Tor="0.5" Commit="x"'], ProtocolInfo(("NULL", "LATER"), None, "0.5")),
        (["AUTH METHODS="], ProtocolInfo()),
        ([], ProtocolInfo()),
    ],
)
def test_what_tor_tells(lines: list[str], known: ProtocolInfo) -> None:
    """lightningnetwork/lnd#2388: without a cookie there is no COOKIEFILE."""
    assert ProtocolInfo.parse(lines) == known
