"""How much memory the process may use: what its cgroup or the machine lets it have."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

BASE = 96 * 1024 * 1024
"""Bytes that are left to the program: it takes some 70 MiB without any media."""
PART = 0.5
"""Part of the rest that media may take by itself: what is around it, connections and the pieces
that the allocator cannot give back make up to 1.75 bytes of each."""
LEAST = 16 * 1024 * 1024
"""Bytes for media where there is next to nothing."""
UNKNOWN = 512 * 1024 * 1024
"""Bytes for media where no limit can be found."""


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes that the process may use; None where nobody tells.

    Args:
        root: where the file systems /proc and /sys are.
    """
    limits = list(_cgroup_limits(root))
    try:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # not every system has it
        pass
    return min(limits, default=None)


def media_budget(limit: int | None) -> int:
    """Return the bytes that media may take where the settings do not say it.

    Half of what the limit leaves beyond 96 MiB, and 512 MiB where there is none.

    Args:
        limit: as `memory_limit` tells it.
    """
    return UNKNOWN if limit is None else max(LEAST, int(PART * (limit - BASE)))


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Read the limits of the process's cgroup and of those around it, versions 2 and 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            # above the former processes are killed, above the latter they are slowed down
            place, names = mount, ["memory.max", "memory.high"]
        elif "memory" in controllers.split(","):
            place, names = mount / "memory", ["memory.limit_in_bytes"]
        else:
            continue
        # In a container the path may be the host's, and only the top is to be seen.
        here = Path(path.lstrip("/"))
        for folder, name in product((here, *here.parents), names):
            try:
                text = (place / folder / name).read_text().strip()
            except (OSError, ValueError):
                continue
            if text.isdigit():  # else "max"
                yield int(text)
