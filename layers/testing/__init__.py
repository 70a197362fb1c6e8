"""Tools for testing a layer: connectors driven by hand, faulty streams, proxies, and the contract suite.

They work on asyncio and trio and need no test runner.
"""

from ziggurat.layers.testing.contract import check_layer
from ziggurat.layers.testing.faults import DelayStream, EofStream, ResetStream, SplitStream, StallStream, fault_layer
from ziggurat.layers.testing.leak_guard import LeakGuard, no_leaks
from ziggurat.layers.testing.memory import MemoryStream, stream_pair
from ziggurat.layers.testing.mock import MockConnector, MockHandle, MockRequest, mock_connector
from ziggurat.layers.testing.scripted_http_proxy import HttpProxySession, HttpReply, HttpRequest, ScriptedHttpProxy
from ziggurat.layers.testing.scripted_proxy import ProxySession, ScriptedProxy
from ziggurat.layers.testing.socks5_server import Socks5Server

__all__ = [
    "DelayStream",
    "EofStream",
    "HttpProxySession",
    "HttpReply",
    "HttpRequest",
    "LeakGuard",
    "MemoryStream",
    "MockConnector",
    "MockHandle",
    "MockRequest",
    "ProxySession",
    "ResetStream",
    "ScriptedHttpProxy",
    "ScriptedProxy",
    "Socks5Server",
    "SplitStream",
    "StallStream",
    "check_layer",
    "fault_layer",
    "mock_connector",
    "no_leaks",
    "stream_pair",
]
