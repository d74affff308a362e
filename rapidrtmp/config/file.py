"""Files that settings are read from: ``NAME=value`` lines, and secrets each in its own file."""

import re
from collections.abc import Collection
from pathlib import Path

from rapidrtmp.config.row import SettingError

MAX_SIZE = 1 << 20
"""Bytes of a file, far above any use: the wrong name, of a device say, must not fill memory."""

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")


def read_settings(path: str, names: Collection[str]) -> dict[str, str]:
    """Read a file of ``NAME=value`` lines.

    Empty lines and lines that begin with ``#`` are skipped, as is a leading ``export``; a pair
    of quotes around the whole value is taken off. Nothing is expanded. Behind a value there is
    no comment: a ``#`` belongs to it.

    Args:
        path: of the file; stands in for CONFIG_FILE in messages.
        names: of all settings that may stand in it.

    Raises:
        SettingError: the file cannot be read, or a line is not what it should be. No value is
            part of the message.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(_read("CONFIG_FILE", path).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            problem = "must be NAME=value"
        elif match["name"] not in names:
            problem = f"{match['name'][:64]} is no setting that can stand here"
        elif match["name"] in found:
            problem = f"{match['name']} stands here for the second time"
        else:
            found[match["name"]] = _unquoted(match["value"])
            continue
        raise SettingError("CONFIG_FILE", path, f"line {number}: {problem}")
    return found


def read_secret(name: str, path: str) -> str:
    """Read a file that holds one value. White space around it does not belong to it.

    Args:
        name: the setting that names the file, for messages.
        path: of the file.

    Raises:
        SettingError: the file cannot be read, or is empty.
    """
    secret = _read(name, path).strip()
    if not secret:
        raise SettingError(name, path, "must not be empty")
    return secret


def _read(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise SettingError(name, path, f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_SIZE:
        raise SettingError(name, path, f"must not be larger than {MAX_SIZE} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Not chained: that error holds the content.
        raise SettingError(name, path, "must be UTF-8 text") from None


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
