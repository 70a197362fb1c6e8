"""Tor: a layer that dials through it, its resolver, and its reply codes."""

from ziggurat.layers.tor.layer import TorLayer
from ziggurat.layers.tor.reply import TorReply
from ziggurat.layers.tor.resolver import TorResolver

__all__ = ["TorLayer", "TorReply", "TorResolver"]
