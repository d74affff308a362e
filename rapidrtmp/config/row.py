"""One row of the table of settings, how it is declared, and the error of a wrong one."""

from dataclasses import field
from typing import NamedTuple, TypeVar

from rapidrtmp.config.kinds import FILE, Kind
from rapidrtmp.observability.redaction import redact

T = TypeVar("T")

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86400.0
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class SettingError(ValueError):
    """A setting cannot be used. Its text is one line that says which, what and why."""

    def __init__(self, name: str, value: str, problem: str) -> None:
        """Make the line.

        Args:
            name: the setting as the environment calls it.
            value: what it was set to; `secret_kinds.HIDDEN` for a secret.
            problem: a clause that follows the value: 'must be ...', 'cannot be listened on'.
        """
        value = redact(value)
        # Whatever was in the environment, the message stays one line.
        shown = value if value.isprintable() and len(value) <= 200 else ascii(value[:200])
        super().__init__(f"{name}={shown}: {problem}")
        self.name = name


class Row(NamedTuple):
    """One row of the table."""

    name: str
    """As the environment calls it."""
    group: str
    kind: Kind
    default: str
    """As text, for people."""
    help: str
    reload: bool
    """Whether a reload may change it; otherwise it needs a restart."""
    secret_of: str
    """The secret that the named file holds; '' for all else."""

    @property
    def attribute(self) -> str:
        """The name of the field of `Settings`."""
        return self.name.lower()

    @property
    def option(self) -> str:
        """The command-line option without its leading dashes."""
        return self.name.lower().replace("_", "-")


def row(
    group: str,
    kind: Kind,
    default: T,
    help: str,
    *,
    reload: bool = False,
    shown: str = "",
    secret_of: str = "",
) -> T:
    """Declare a setting as the field of a dataclass.

    Args:
        group: heading under which it stands in the reference.
        kind: how its text is read.
        default: its value when nobody sets it.
        help: what it does, one or two sentences.
        reload: whether a reload may change it.
        shown: the default in words, where `kind.show` would not tell.
        secret_of: the setting whose value stands in the file that this one names.
    """
    metadata = {
        "group": group,
        "kind": kind,
        "default": shown or kind.show(default) or "none",
        "help": help,
        "reload": reload,
        "secret_of": secret_of,
    }
    return field(default=default, repr=not kind.secret, metadata=metadata)


def secret_file(group: str, name: str, *, reload: bool = False) -> str:
    """Declare the twin of a secret: a file that holds its value."""
    text = f"File whose content is {name}, as Docker and Kubernetes hand secrets over."
    return row(group, FILE, "", text, reload=reload, secret_of=name)
