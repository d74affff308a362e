"""A TCP proxy that can fall silent without closing: a cable that is pulled."""

import contextlib
import selectors
import socket
import threading

BUFFER = 65536


class Freezer:
    """Forwards connections to a port of the loopback interface until it is told to freeze.

    From then on nothing passes in either direction on the connections that there are, and
    what their client does, its end included, is hidden from the server.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._frozen: list[socket.socket] = []
        self._freeze = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        """Stop forwarding on every connection that is open now."""
        self._freeze.set()
        while self._freeze.is_set() and self._thread.is_alive():
            self._stop.wait(0.01)

    def close(self) -> None:
        """Close everything."""
        self._stop.set()
        self._thread.join(5.0)
        for each in (*self._peers, *self._frozen, self._listener):
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                    self._forward(key.fileobj)
            if self._freeze.is_set():
                for each in self._peers:
                    self._selector.unregister(each)
                self._frozen += self._peers
                self._peers.clear()
                self._freeze.clear()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._target), timeout=5.0)
        self._peers[client] = server
        self._peers[server] = client
        for each in (client, server):
            each.settimeout(5.0)
            self._selector.register(each, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        peer = self._peers[source]
        try:
            received = source.recv(BUFFER)
            if received:
                peer.sendall(received)
                return
        except OSError:
            pass
        for each in (source, peer):
            del self._peers[each]
            self._selector.unregister(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
