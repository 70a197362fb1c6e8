"""Every private name of grpclib and h2 that the channel relies on.

If a new version of either changes one, a test here names it before a call hangs somewhere.
"""

from __future__ import annotations

import inspect
from typing import Any

import grpclib.client
import grpclib.metadata
import grpclib.protocol
import grpclib.server
import grpclib.stream
import grpclib.utils
import pytest
from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hyperframe.frame import DataFrame, GoAwayFrame

from ziggurat.services import Channel


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        # One connection
        (grpclib.protocol.H2Protocol, "__init__", "self handler config h2_config"),
        (grpclib.protocol.H2Protocol, "connection_made", "self transport"),
        (grpclib.protocol.H2Protocol, "pause_writing", "self"),
        (grpclib.protocol.H2Protocol, "resume_writing", "self"),
        (grpclib.protocol.Connection, "__init__", "self connection transport config"),
        (grpclib.protocol.Connection, "feed", "self data"),
        (grpclib.protocol.Connection, "flush", "self"),
        (grpclib.protocol.Connection, "ack", "self stream_id size"),
        (grpclib.protocol.Connection, "create_stream", "self stream_id wrapper"),
        (grpclib.protocol.Connection, "initialize", "self"),
        (grpclib.protocol.Connection, "is_closing", "self"),
        (grpclib.protocol.Connection, "close", "self"),
        (grpclib.protocol.Connection, "get_peer", "self"),
        (grpclib.protocol.Connection, "headers_send_process", "self"),
        (grpclib.protocol.Connection, "data_send_process", "self"),
        (grpclib.protocol.EventsProcessor, "__init__", "self handler connection"),
        (grpclib.protocol.EventsProcessor, "register", "self stream"),
        (grpclib.protocol.EventsProcessor, "process", "self event"),
        (grpclib.protocol.EventsProcessor, "process_request_received", "self event"),
        (grpclib.protocol.EventsProcessor, "process_remote_settings_changed", "self event"),
        (grpclib.protocol.EventsProcessor, "process_stream_reset", "self event"),
        (grpclib.protocol.EventsProcessor, "process_connection_terminated", "self event"),
        (grpclib.protocol.EventsProcessor, "close", "self reason"),
        (grpclib.protocol, "_set_nodelay", "sock"),
        # One stream
        (grpclib.protocol.Stream, "__init__", "self connection h2_connection transport stream_id wrapper"),
        (grpclib.protocol.Stream, "init_stream", "self stream_id connection"),
        (grpclib.protocol.Stream, "recv_headers", "self"),
        (grpclib.protocol.Stream, "recv_data", "self size"),
        (grpclib.protocol.Stream, "recv_trailers", "self"),
        (grpclib.protocol.Stream, "send_request", "self headers end_stream _processor"),
        (grpclib.protocol.Stream, "send_headers", "self headers end_stream"),
        (grpclib.protocol.Stream, "send_data", "self data end_stream"),
        (grpclib.protocol.Stream, "end", "self"),
        (grpclib.protocol.Stream, "reset", "self error_code"),
        (grpclib.protocol.Stream, "reset_nowait", "self error_code"),
        (grpclib.protocol.Stream, "__ended__", "self"),
        (grpclib.protocol.Stream, "__terminated__", "self reason"),
        (grpclib.utils.Wrapper, "cancel", "self error"),
        # One call
        (grpclib.client.Stream, "send_request", "self end"),
        (grpclib.client.Stream, "recv_trailing_metadata", "self"),
        (grpclib.client.Stream, "_maybe_finish", "self"),
        (grpclib.client.Stream, "_maybe_raise", "self"),
        # A server
        (grpclib.server.Server, "_protocol_factory", "self"),
        (grpclib.server.Handler, "cancel", "self stream"),
        (grpclib.server.Handler, "accept", "self stream headers release_stream"),
        # h2
        (H2Connection, "_receive_frame", "self frame"),
        (H2Connection, "_prepare_for_sending", "self frames"),
        (H2Connection, "receive_data", "self data"),
    ],
)
def test_a_method_exists_with_the_expected_parameters(owner: Any, name: str, parameters: str) -> None:
    method = getattr(owner, name)
    assert list(inspect.signature(method).parameters) == parameters.split()


@pytest.mark.parametrize("name", ["_connection", "_transport", "_config", "write_ready", "stream_close_waiter"])
def test_a_connection_has_these_attributes(name: str) -> None:
    assert f"self.{name} = " in inspect.getsource(grpclib.protocol.Connection.__init__)


@pytest.mark.parametrize(
    "name",
    ["connection", "_h2_connection", "_transport", "wrapper", "headers", "headers_received", "trailers",
     "trailers_received", "window_updated"],
)  # fmt: skip
def test_a_stream_has_these_attributes(name: str) -> None:
    assert f"self.{name}" in inspect.getsource(grpclib.protocol.Stream.__init__)


@pytest.mark.parametrize(
    "name",
    ["_send_request_done", "_end_done", "_cancel_done", "_recv_initial_metadata_done", "_recv_trailing_metadata_done"],
)
def test_a_call_has_these_flags(name: str) -> None:
    assert getattr(grpclib.client.Stream, name) is False


def test_a_message_is_read_in_two_steps() -> None:
    source = inspect.getsource(grpclib.stream.recv_message)
    assert "recv_data(5)" in source
    assert "recv_data(message_len)" in source
    assert source.count("await ") == 2


def test_the_request_carries_grpclibs_user_agent_as_one_header() -> None:
    assert "('user-agent', USER_AGENT)" in inspect.getsource(grpclib.client.Stream.send_request)
    assert isinstance(grpclib.metadata.USER_AGENT, str)


def test_the_processor_dispatches_by_the_events_class() -> None:
    connection: Any = None
    processor = grpclib.protocol.EventsProcessor(grpclib.client.Handler(), connection)
    assert processor.streams == {}
    assert all(isinstance(kind, type) for kind in processor.processors)


def test_only_these_methods_of_the_buffer_are_used() -> None:
    source = inspect.getsource(grpclib.protocol)
    uses = {part.split("(")[0].strip() for part in source.split(".buffer.")[1:]}
    assert uses == {"read", "add", "eof", "unacked_size"}


def test_grpclib_sends_no_pings_for_a_client() -> None:
    assert Configuration().__for_client__()._keepalive_time is None


def test_the_client_handler_records_the_loss() -> None:
    handler = grpclib.client.Handler()
    handler.close()
    assert handler.connection_lost


def test_an_h2_connection_has_these_attributes() -> None:
    engine = H2Connection(config=H2Configuration(client_side=True))
    assert isinstance(engine._data_to_send, bytearray)
    assert {DataFrame, GoAwayFrame} <= set(engine._frame_dispatch_table)
    assert engine.streams == {}
    engine.local_settings = Settings(client=True, initial_values={SettingCodes.MAX_FRAME_SIZE: 20_000})
    engine.max_inbound_frame_size = 20_000
    engine.initiate_connection()
    assert (20_000).to_bytes(4, "big") in engine.data_to_send()


def test_only_these_methods_of_grpclibs_channel_make_a_connection() -> None:
    makers = [
        name
        for name, method in inspect.getmembers(grpclib.client.Channel, inspect.isfunction)
        if "create_connection" in inspect.getsource(method) or "create_unix_connection" in inspect.getsource(method)
    ]
    assert sorted(makers) == ["__connect__", "_create_connection"]
    source = inspect.getsource(grpclib.client.Stream.send_request)
    assert "await self._channel.__connect__()" in source


@pytest.mark.asyncio_only
async def test_a_channel_has_these_attributes() -> None:
    channel = grpclib.client.Channel("127.0.0.1", 1)
    for name in ("_protocol", "_scheme", "_authority", "_codec", "_status_details_codec", "_loop", "__dispatch__"):
        assert hasattr(channel, name), name
    assert channel._protocol is None


def test_a_call_takes_the_arguments_that_our_channel_passes() -> None:
    ours = inspect.signature(Channel.request).parameters
    theirs = inspect.signature(grpclib.client.Channel.request).parameters
    assert {name: p.default for name, p in ours.items()} == {name: p.default for name, p in theirs.items()}
    made = (
        "self channel method_name metadata cardinality send_type recv_type codec status_details_codec dispatch deadline"
    )
    assert " ".join(inspect.signature(grpclib.client.Stream.__init__).parameters) == made
