"""The server inside a program of your own: the public way in.

`rapidrtmp.service` makes a server, too, but its import brings the default reactor along. This
module imports nothing that does, so a program can import it first and choose a reactor then.
Nothing of the process is touched: signals, the log, the limit of open files and the reactor's
clock stay as the program has them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rapidrtmp import config
from rapidrtmp.config.secret_kinds import HIDDEN
from rapidrtmp.hooks.caller import METHODS

if TYPE_CHECKING:
    from rapidrtmp.service import RapidRTMPService

__all__ = ["make_server"]


def make_server(
    settings: Mapping[str, str], reactor: Any, hooks: Sequence[object] = ()
) -> "RapidRTMPService":
    """Make a server that is not started.

    It is a service of Twisted: ``startService()`` starts it, or the parent that it is given;
    ``stopService()`` gives a Deferred that fires when all is put away. Start it before the
    reactor runs, so that what is wrong is raised there and not lost. Then ``http.port`` and
    ``rtmp.port`` are the ports that it listens on, and ``await tokens.issue(key)`` makes a
    publish token.

    Args:
        settings: by the names of the environment, as texts: ``{"HTTP_ADDR": ":8080"}``. The
            environment itself is not read.
        reactor: the program's.
        hooks: objects with any of the methods of `rapidrtmp.interfaces.IHook`, asked and told
            before the plug-ins that are installed.

    Raises:
        SettingError: a setting is unknown or cannot be used. Its start raises it, too: an
            address that is taken, a directory that cannot be written.
        TypeError: a hook has none of the methods.
    """
    # Only now: Klein, which comes along, imports the reactor.
    from rapidrtmp.service import make_service

    for name in settings:
        if name not in _NAMES:
            raise config.SettingError(name, HIDDEN, "is no setting")
    for hook in hooks:
        if not any(callable(getattr(hook, name, None)) for name in METHODS):
            raise TypeError(f"{hook!r} has none of {', '.join(METHODS)}")
    return make_service(config.load(settings), reactor, hooks=hooks)


_NAMES = frozenset(row.name for row in config.TABLE)
