"""Strings that a peer sent, made fit for use."""

from rapidrtmp.amf.values import Value


def text_of(value: Value) -> str:
    """Return a string, or the empty one in place of every other value."""
    return value if isinstance(value, str) else ""


def printable(text: str, length: int) -> str:
    """Make a text fit for a log line: at most `length` characters, none of them for control."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:length])
