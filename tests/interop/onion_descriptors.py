"""Descriptors of onion services that are not there: stem builds what Tor itself would never publish."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import time
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.interop.tor_control import Control
from tests.interop.tor_network import TorNetwork
from ziggurat.services import OnionAddress

__all__ = ["publish_broken", "publish_without_a_service"]

BASE_POINT = (
    b"(15112221349535400772501151409588531511454012693041857206046113283949847762202, "
    b"46316835694926478169428394003475163141307993866256225615783033603165251855960)"
)
"""As text, which is hashed (rend-spec-v3, A.2)."""

PERIOD, OFFSET = 24 * 30, 12 * 30
"""Minutes: a time period is 24 votes of the private network, and begins 12 after midnight."""

SIGNED = b"Tor onion service descriptor sig v3"


def publish_without_a_service(tor: TorNetwork) -> str:
    """Publish a service whose introduction points are relays that know nothing of it; return its name."""
    return _publish(tor, broken=False)


def publish_broken(tor: TorNetwork) -> str:
    """Publish a descriptor that is signed as it must be, so that directories take it, and cannot be decrypted."""
    return _publish(tor, broken=True)


def _publish(tor: TorNetwork, *, broken: bool) -> str:
    hidden_service = pytest.importorskip("stem.descriptor.hidden_service", reason="stem is not installed")
    identity, signing = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = identity.public_key().public_bytes_raw()
    points = [_introduction_point(tor.client, f"relay{number}", signing) for number in (1, 2, 3)]
    text: bytes = hidden_service.HiddenServiceDescriptorV3.content(
        identity_key=identity,
        signing_key=signing,
        inner_layer=hidden_service.InnerLayer.create(introduction_points=points),
        blinding_nonce=_blinding_factor(public, tor.client),
        revision_counter=int(time.time()),
    )
    if broken:
        text = _spoil(text, signing)
    name = str(OnionAddress(public))
    tor.host.ask("SETEVENTS HS_DESC")
    lines = text.decode().rstrip("\n").replace("\n", "\r\n")
    tor.host.ask(f"+HSPOST HSADDRESS={name.removesuffix('.onion')}\r\n{lines}\r\n.")
    relays = [line for line in tor.client.info("ns/all") if line.startswith("r ")]
    for _ in relays:  # so few that each is a directory of each service
        assert tor.host.next_event().startswith("HS_DESC UPLOADED ")
    tor.host.ask("SETEVENTS")
    return name


def _introduction_point(client: Control, relay: str, signing: Ed25519PrivateKey) -> object:
    from stem.client.datatype import LinkByFingerprint, LinkByIPv4  # type: ignore[import-untyped]
    from stem.descriptor.hidden_service import IntroductionPointV3  # type: ignore[import-untyped]

    _, _, fingerprint, *_, address, port, _ = client.info(f"ns/name/{relay}")[0].split()
    (key,) = [line.split()[1] for line in client.info(f"md/name/{relay}") if line.startswith("ntor-onion-key ")]
    specifiers = [LinkByIPv4(address, int(port)), LinkByFingerprint(_decode(fingerprint))]
    return IntroductionPointV3.create_for_link_specifiers(specifiers, signing_key=signing, onion_key=_decode(key))


def _blinding_factor(public: bytes, client: Control) -> bytes:
    """Return the factor of this time period's key (rend-spec-v3, A.2)."""
    valid_after = datetime.fromisoformat(client.info("consensus/valid-after")[0].strip('"')).replace(tzinfo=UTC)
    period = (int(valid_after.timestamp()) // 60 - OFFSET) // PERIOD
    nonce = b"key-blind" + struct.pack("!QQ", period, PERIOD)
    return hashlib.sha3_256(b"Derive temporary signing key\0" + public + BASE_POINT + nonce).digest()


def _spoil(text: bytes, signing: Ed25519PrivateKey) -> bytes:
    """Replace the encrypted part, and sign again."""
    signed, found = re.subn(
        rb"(?s)(superencrypted\n-----BEGIN MESSAGE-----\n).*(\n-----END MESSAGE-----\n).*",
        lambda match: match[1] + b"\n".join([b"A" * 64] * 200) + match[2],
        text,
    )
    assert found == 1
    return signed + b"signature " + base64.b64encode(signing.sign(SIGNED + signed)).rstrip(b"=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
