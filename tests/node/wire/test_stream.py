from __future__ import annotations

from ziggurat.node.wire.stream import StreamLost


def test_a_loss_says_why_and_whether_the_peer_was_busy() -> None:
    assert str(StreamLost("reset")) == "reset"
    assert not StreamLost("reset").busy
    assert StreamLost("later", busy=True).busy
