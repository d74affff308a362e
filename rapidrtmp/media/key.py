"""What a stream key may look like: the one rule that every room shares."""

import re

STREAM_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""A whole stream key (use `fullmatch`): no character that means something in a path, a URL,
HTML or a log line, and short enough for any file system."""


def is_stream_key(key: str) -> bool:
    """Tell whether `key` is a well-formed stream key."""
    return STREAM_KEY.fullmatch(key) is not None
