"""HTTP/2 as h2 speaks it (RFC 9113), with less to be remembered and less to be allowed."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

MAX_STREAMS = 100
"""Requests at once on a connection; RFC 9113 section 6.5.2 asks for no fewer. One more ends it."""

MAX_HEADER_LIST = 16 * 1024
"""Bytes of a request's header, decompressed: as much as with HTTP/1.1."""

MAX_CLOSED = 1000
"""Requests that are over and remembered, to tell late frames from wrong ones."""

MAX_SETTINGS = 64
"""Different settings that a client may have sent. There are ten; unknown ones are kept, too."""

HEADER_TABLE = 4096
"""Bytes of the table by which headers of answers are compressed, however large a table the client
would keep: all of it is searched for each field."""


class HTTP2Protocol(H2Connection):
    """The protocol."""

    MAX_CLOSED_STREAMS = MAX_CLOSED
    DEFAULT_MAX_HEADER_LIST_SIZE = MAX_HEADER_LIST

    def __init__(self) -> None:
        # What we send is right by itself: checking it costs more than making it.
        config = H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        super().__init__(config)
        self.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = MAX_STREAMS

    def bound_settings(self) -> bool:
        """Keep what the client's settings cost small, now that some came.

        Returns:
            False when there are so many that it must be refused.
        """
        encoder = self.encoder
        encoder.header_table_size = min(encoder.header_table_size, HEADER_TABLE)
        changes = encoder.table_size_changes
        if len(changes) > 2:  # of all that came since the last answer (RFC 7541 section 4.2)
            changes[:] = min(changes), changes[-1]
        return len(self.remote_settings) <= MAX_SETTINGS
