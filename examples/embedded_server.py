"""A streaming server inside a program on Twisted, which also decides who may publish.

    python examples/embedded_server.py [NAME=value ...]     # settings, such as HTTP_ADDR=:9090

It prints where to publish and what to open. Ctrl-C ends it.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from rapidrtmp.embedding import make_server
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Refusal

SETTINGS = {
    "HTTP_ADDR": ":8080",
    "RTMP_ADDR": ":1935",
    "STORAGE_TYPE": "memory",
    "STATE_DIR": "data/embedded",
}


class House:
    """The program's own say, asked by the server that it holds."""

    def on_publish(self, request: AccessRequest) -> None:
        """Keep some names for ourselves."""
        if request.key.startswith("private-"):
            raise AccessDenied(Refusal.DENIED, f"no, {request.key} is private")


async def main(reactor: Any, *arguments: str) -> None:
    """Serve until the reactor is stopped."""
    settings = SETTINGS | dict(argument.split("=", 1) for argument in arguments)
    server = make_server(settings, reactor, hooks=[House()])
    server.startService()
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    token = await server.tokens.issue("show")
    print(f"publish to rtmp://localhost:{server.rtmp.port}/live/show?token={token.value}")
    print(f"watch at http://localhost:{server.http.port}/player/show", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
