"""Finds in-process hooks: installed packages that have an entry point for it."""

from importlib.metadata import entry_points
from typing import Any

from rapidrtmp.hooks.caller import METHODS

GROUP = "rapidrtmp.hooks"


def load_plugins(reactor: Any) -> list[object]:
    """Make every hook of the group `GROUP`, in the order of their names.

    Args:
        reactor: is handed to each.

    Raises:
        ValueError: one is broken; the words name it.
    """
    hooks = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        named = f"hook {entry.name} ({entry.value})"
        try:
            hook = entry.load()(reactor)
        except Exception as error:
            raise ValueError(f"{named} cannot be made: {type(error).__name__}: {error}") from error
        if not any(callable(getattr(hook, name, None)) for name in METHODS):
            raise ValueError(f"{named} has none of {', '.join(METHODS)}")
        hooks.append(hook)
    return hooks
