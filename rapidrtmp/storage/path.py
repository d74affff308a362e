"""Which paths storage takes: one rule for every backend."""

import re

MAX_PART_LENGTH = 255
"""Characters of one part: the longest file name of common file systems."""

MAX_PATH_LENGTH = 1024
"""Characters of a whole path: the longest object name of common object stores."""

_PART = re.compile(rf"(?!\.{{1,2}}\Z)[A-Za-z0-9._-]{{1,{MAX_PART_LENGTH}}}")


def is_part(name: str) -> bool:
    """Tell whether `name` may be one part of a path."""
    return _PART.fullmatch(name) is not None


def split_path(path: str) -> tuple[str, ...]:
    """Split a path into its parts. Nothing is ever cleaned into another path.

    Args:
        path: one or more parts of ``[A-Za-z0-9._-]``, separated by single '/'.

    Raises:
        ValueError: it is not such a path, a part is '.' or '..', or a length is over its limit.
    """
    parts = tuple(path.split("/"))
    if len(path) > MAX_PATH_LENGTH or not all(map(is_part, parts)):
        raise ValueError(f"not a storage path: {path[:MAX_PATH_LENGTH]!r}")
    return parts


def check_range(start: int, end: int | None) -> None:
    """Check the range of a read.

    Args:
        start: first byte.
        end: byte after the last one; None for the end of the file. May lie behind the file's end.

    Raises:
        ValueError: a bound is negative or `end` lies before `start`.
    """
    if start < 0 or (end is not None and end < start):
        raise ValueError(f"not a range of bytes: {start} to {end}")
