"""Every private name of grpclib that the channel and the server rely on.

If a new version changes one, a test here names it before a call hangs somewhere.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import grpclib.client
import grpclib.config
import grpclib.events
import grpclib.metadata
import grpclib.protocol
import grpclib.server
import pytest
from grpclib.encoding.proto import ProtoCodec

from ziggurat.services import Channel
from ziggurat.services.channel.call import Call
from ziggurat.services.channel.call_handler import CallHandler
from ziggurat.services.channel.server_call import ServerCall


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        # A server
        (grpclib.server.Server, "_protocol_factory", "self"),
        (grpclib.server.Server, "__gc_step__", "self"),
        # Events
        (grpclib.events._DispatchServerEvents, "recv_request",
         "self metadata method_func method_name deadline content_type user_agent peer"),
        (grpclib.events._DispatchServerEvents, "send_initial_metadata", "self metadata"),
        (grpclib.events._DispatchServerEvents, "send_trailing_metadata",
         "self metadata status status_message status_details"),
        (grpclib.events._DispatchServerEvents, "recv_message", "self message"),
        (grpclib.events._DispatchServerEvents, "send_message", "self message"),
        (grpclib.events._DispatchChannelEvents, "send_request", "self metadata method_name deadline content_type"),
        (grpclib.events._DispatchChannelEvents, "recv_initial_metadata", "self metadata"),
        (grpclib.events._DispatchChannelEvents, "recv_trailing_metadata",
         "self metadata status status_message status_details"),
        (grpclib.events._DispatchChannelEvents, "recv_message", "self message"),
        (grpclib.events._DispatchChannelEvents, "send_message", "self message"),
        # Both
        (grpclib.protocol, "Peer", "transport"),
        (grpclib.metadata, "encode_metadata", "metadata"),
        (grpclib.metadata, "encode_grpc_message", "message"),
        (grpclib.metadata, "decode_grpc_message", "value"),
    ],
)  # fmt: skip
def test_a_function_takes_the_expected_parameters(owner: Any, name: str, parameters: str) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters.split()


@pytest.mark.parametrize("kind", [grpclib.events._DispatchServerEvents, grpclib.events._DispatchChannelEvents])
def test_a_method_without_a_listener_is_covered_by_an_attribute(kind: Any) -> None:
    dispatch = kind()
    assert sorted(set(vars(dispatch)) - {"_listeners"}) == sorted(kind.__dispatch_methods__.values())
    dispatch.add_listener(grpclib.events.SendMessage, None)
    assert "send_message" not in vars(dispatch)
    assert "recv_message" in vars(dispatch)


@pytest.mark.asyncio_only
async def test_a_server_has_these_attributes() -> None:
    server = grpclib.server.Server([])
    for name in ("_mapping", "_codec", "_status_details_codec", "_config", "_handlers", "__dispatch__"):
        assert hasattr(server, name), name
    assert server._handlers == set()


def test_a_server_asks_this_of_a_connections_handler() -> None:
    source = inspect.getsource(grpclib.server.Server)
    uses = set(re.findall(r"\b(?:h|handler)\.(\w+)", source)) - {"config", "__mapping__"}
    assert uses == {"closing", "check_closed", "close", "wait_closed"}
    assert all(hasattr(CallHandler, name) for name in ("check_closed", "close", "wait_closed"))


def test_the_settings_of_a_server_have_these_names() -> None:
    names = {field.name for field in grpclib.config.fields(grpclib.config.Configuration)}
    assert names >= {
        "_keepalive_time",
        "_keepalive_timeout",
        "_keepalive_permit_without_calls",
        "_http2_max_pings_without_data",
        "_http2_min_sent_ping_interval_without_data",
    }


def test_a_codec_names_its_subtype() -> None:
    assert ProtoCodec.__content_subtype__ == "proto"


@pytest.mark.asyncio_only
async def test_a_channel_has_these_attributes() -> None:
    channel = grpclib.client.Channel("127.0.0.1", 1)
    for name in ("_codec", "_status_details_codec", "_scheme", "_authority", "_loop", "__dispatch__"):
        assert hasattr(channel, name), name
    for name in ("_calls_started", "_calls_succeeded", "_calls_failed", "_last_call_started"):
        assert hasattr(grpclib.client.Channel, name), name


def test_only_these_methods_of_grpclibs_channel_make_a_connection() -> None:
    makers = [
        name
        for name, method in inspect.getmembers(grpclib.client.Channel, inspect.isfunction)
        if "create_connection" in inspect.getsource(method) or "create_unix_connection" in inspect.getsource(method)
    ]
    assert sorted(makers) == ["__connect__", "_create_connection"]
    assert "__connect__" in vars(Channel)


def test_a_call_is_requested_as_in_grpclib() -> None:
    ours = inspect.signature(Channel.request).parameters
    theirs = inspect.signature(grpclib.client.Channel.request).parameters
    assert {name: p.default for name, p in ours.items()} == {name: p.default for name, p in theirs.items()}


@pytest.mark.parametrize(
    ("ours", "theirs", "spared"),
    [
        (Call, grpclib.client.Stream, set()),
        # grpclib's own handler enters a call; ours does not, and neither do users.
        (ServerCall, grpclib.server.Stream, {"__aenter__", "__aexit__"}),
    ],
)
def test_nothing_of_grpclibs_calls_is_left_that_a_user_could_reach(ours: type, theirs: type, spared: set[str]) -> None:
    """It would look for attributes that are not there."""
    public = {
        name
        for name, value in vars(theirs).items()
        if (callable(value) or isinstance(value, property)) and (not name.startswith("_") or name.startswith("__a"))
    }
    assert {name for name in public if getattr(ours, name) is getattr(theirs, name)} == spared
