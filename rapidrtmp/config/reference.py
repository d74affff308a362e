"""The table of settings written out: as the reference page and as the environment in force."""

from rapidrtmp.config import TABLE, Settings
from rapidrtmp.observability.redaction import redact

_INTRODUCTION = """\
# Settings

Each setting is an environment variable, a line of the configuration file, and a command-line
option of `rapidrtmp serve`, `rapidrtmp demo` and `twistd rapidrtmp`. An option wins over the
environment, which wins over the file, which wins over the default. An empty value counts as not
set. A value that cannot be read or makes no sense stops the start with one line that names the
setting, the value and what is allowed, and exit status 1. `rapidrtmp config` prints the settings
in force, `rapidrtmp check` tries them out.

Durations are written as in Go: `2s`, `500ms`, `1h30m`.

**The configuration file** is named by `CONFIG_FILE` or `--config-file`. It has a `NAME=value` on
each line; empty lines and lines that begin with `#` are skipped, a leading `export` is ignored,
and quotes around a whole value are taken off. Only settings may stand in it, each once. Nothing
else is read, no `.env` either.

```sh
# /etc/rapidrtmp.conf
STORAGE_DIR=/var/lib/rapidrtmp/streams
API_KEYS_FILE=/run/secrets/rapidrtmp_api_keys
LOG_LEVEL=info,rapidrtmp.protocol=debug
```

**Secrets** can stand in a file of their own, named by the setting with `_FILE`; white space around
the content is ignored. Give the one or the other, and the path of the file absolute. Other
users of the machine can read an option of a running program, so secrets do not belong on the
command line. No secret is ever printed or logged: `<set>` stands for it.

**Reload**: on SIGHUP the configuration file and the files of secrets are read again. What is of
the class *reload* is taken over without touching a stream. What is of the class *start-up* and
has changed is named in the log; it keeps its value until a restart. If anything is wrong,
one line in the log says what, and everything stays as it was.
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
    """Write the settings in force as ``NAME=value`` lines, with ``<set>`` for each secret.

    Where there is none, they could be set again.
    """
    # redacted: URLs may hold secrets, too
    return "".join(
        f"{row.name}={redact(row.kind.show(getattr(settings, row.attribute)))}\n" for row in TABLE
    )
