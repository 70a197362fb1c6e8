"""Authenticators of a user's own, for schemes that the library does not ship: Digest and NTLM."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass, field

from ziggurat.layers import ProxyConversation
from ziggurat.services import Uri


@dataclass
class Digest:
    """Digest (RFC 7616) with MD5 and ``qop=auth``, as squid asks for it. A nonce serves for all dials."""

    user: str
    password: str
    nonces: list[tuple[str, str]] = field(default_factory=list)  # realm and nonce, if one is known
    count: int = 0

    def start(self, uri: Uri, /) -> ProxyConversation:
        return DigestConversation(self, uri.authority)


class DigestConversation:
    def __init__(self, digest: Digest, target: str) -> None:
        self.digest = digest
        self.target = target
        self.refused = 0

    async def answer(self, challenges: tuple[str, ...], /) -> str | None:
        digest = self.digest
        if challenges:
            self.refused += 1
            offer = next((each for each in challenges if each.lower().startswith("digest ")), None)
            if offer is None or self.refused > 2 or (self.refused > 1 and "stale=true" not in offer.lower()):
                return None
            values = dict(re.findall(r'(\w+)="([^"]*)"', offer))
            digest.nonces[:] = [(values["realm"], values["nonce"])]
            digest.count = 0
        if not digest.nonces:
            return None
        (realm, nonce), digest.count = digest.nonces[0], digest.count + 1
        count, own = f"{digest.count:08x}", "0a4f113b"
        first = _md5(f"{digest.user}:{realm}:{digest.password}")
        second = _md5(f"CONNECT:{self.target}")
        response = _md5(f"{first}:{nonce}:{count}:{own}:auth:{second}")
        return (
            f'Digest username="{digest.user}", realm="{realm}", nonce="{nonce}", uri="{self.target}", qop=auth, '
            f'nc={count}, cnonce="{own}", response="{response}"'
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@dataclass
class Ntlm:
    """The three messages of NTLM (MS-NLMP), with an empty response: for a server that only looks at the name."""

    user: str

    def start(self, uri: Uri, /) -> ProxyConversation:
        return NtlmConversation(self.user)


class NtlmConversation:
    def __init__(self, user: str) -> None:
        self.user = user
        self.begun = False

    async def answer(self, challenges: tuple[str, ...], /) -> str | None:
        if not challenges:
            return None
        if not self.begun:
            self.begun = True
            return "NTLM " + base64.b64encode(b"NTLMSSP\0" + struct.pack("<II", 1, 0x0202) + bytes(16)).decode()
        challenge = next((each for each in challenges if each.startswith("NTLM ")), None)
        if challenge is None or base64.b64decode(challenge[5:])[8:12] != b"\2\0\0\0":
            return None
        user, start = self.user.encode(), 64
        fields = b"".join(
            struct.pack("<HHI", len(data), len(data), start)
            for data in (b"", b"", b"", user, b"", b"")  # two responses, domain, user, workstation, session key
        )
        return "NTLM " + base64.b64encode(b"NTLMSSP\0\3\0\0\0" + fields + struct.pack("<I", 0x0202) + user).decode()
