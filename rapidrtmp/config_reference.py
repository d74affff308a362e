"""The table of settings written out: as the reference page and as the environment in force."""

from rapidrtmp.config import TABLE, Settings

_INTRODUCTION = """\
# Settings

Each setting is an environment variable and a command-line option of `rapidrtmp serve`,
`rapidrtmp demo` and `twistd rapidrtmp`; the option wins. An empty value counts as not set.
A value that cannot be read or makes no sense stops the start with one line that names the
setting, the value and what is allowed, and exit status 1. Nothing else is read: no `.env`, no
configuration file. `rapidrtmp config` prints the settings in force.

Durations are written as in Go: `2s`, `500ms`, `1h30m`. All settings are read once, at the
start. Their class says what a running server could take over (*reload*) and what always needs
a restart (*start-up*).
"""


def markdown() -> str:
    """Write the reference page of all settings."""
    lines = [_INTRODUCTION]
    group = ""
    for row in TABLE:
        if row.group != group:
            group = row.group
            lines += [f"## {group}", ""]
        lines += [
            f"### {row.name}",
            "",
            row.help,
            "",
            f"- Option: `--{row.option}`",
            f"- Default: {row.default if ' ' in row.default else f'`{row.default}`'}",
            f"- Allowed: {row.kind.allowed}",
            f"- Class: {'reload' if row.reload else 'start-up'}",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def environment(settings: Settings) -> str:
    """Write the settings in force as ``NAME=value`` lines that could be set again."""
    return "".join(
        f"{row.name}={row.kind.show(getattr(settings, row.attribute))}\n" for row in TABLE
    )
