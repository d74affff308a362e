"""A streaming server inside a program on asyncio, which tells every two seconds what there is.

    python examples/embedded_asyncio.py [NAME=value ...]     # settings, such as HTTP_ADDR=:9090

Ctrl-C ends it. Twisted's reactor takes part in the program's event loop: it is installed before
anything imports another one, and the server is started before it runs.
"""

import asyncio
import sys
from contextlib import suppress

from twisted.internet import asyncioreactor

from rapidrtmp.embedding import make_server

SETTINGS = {
    "HTTP_ADDR": ":8080",
    "RTMP_ADDR": ":1935",
    "STORAGE_TYPE": "memory",
    "STATE_DIR": "data/embedded",
}


async def main(arguments: list[str]) -> None:
    """Serve until this task is cancelled, as Ctrl-C does."""
    loop = asyncio.get_running_loop()
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    settings = SETTINGS | dict(argument.split("=", 1) for argument in arguments)
    server = make_server(settings, reactor)
    server.startService()
    reactor.startRunning(installSignalHandlers=False)
    try:
        token = await server.tokens.issue("show").asFuture(loop)
        print(f"publish to rtmp://localhost:{server.rtmp.port}/live/show?token={token.value}")
        print(f"watch at http://localhost:{server.http.port}/player/show", flush=True)
        while True:
            await asyncio.sleep(2)
            print("streams:", [stream.key for stream in server.manager.streams()], flush=True)
    finally:
        await server.stopService().asFuture(loop)
        reactor.getThreadPool().stop()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1:]))
