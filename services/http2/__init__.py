"""HTTP/2, sans-IO, both roles (RFC 9113): bytes in, calls on streams; calls in, bytes out.

Nothing here does I/O or knows an event loop. Of other packages it imports hpack, for its Huffman code and static table.
Where to find a rule:

- frames: `frames` (4.1, 6), `frame_reader` (4.2, 3.4), `data_frames` (6.1), `header_frames` (6.2, 6.10, 8.1),
  `connection` (6.3 to 6.9)
- header fields: `header_section` (8.2, 8.3); `header_reader`, `header_table`, `header_writer` (4.3, RFC 7541)
- streams and windows: `stream` (5.1), `sender` (5.1.1, 5.2), `flow_control` (6.9)
- settings: `settings` (6.5)
- errors and floods: `errors` (7), `receiver` (5.4, 10.5)
"""

from ziggurat.services.http2.connection import Connection
from ziggurat.services.http2.errors import ErrorCode, LocalProtocolError, RemoteProtocolError, error_name
from ziggurat.services.http2.header_section import Fields, HeaderSection, SectionKind
from ziggurat.services.http2.header_writer import HeaderTemplate
from ziggurat.services.http2.receiver import Owner
from ziggurat.services.http2.sender import HeaderFields
from ziggurat.services.http2.settings import LocalSettings
from ziggurat.services.http2.stream import Stream, StreamState

__all__ = [
    "Connection",
    "ErrorCode",
    "Fields",
    "HeaderFields",
    "HeaderSection",
    "HeaderTemplate",
    "LocalProtocolError",
    "LocalSettings",
    "Owner",
    "RemoteProtocolError",
    "SectionKind",
    "Stream",
    "StreamState",
    "error_name",
]
