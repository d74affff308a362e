"""Receives the webhooks of RapidRTMP, with nothing but the standard library.

    export WEBHOOK_SECRET=change-this-secret
    python examples/webhook_receiver.py 8081

It checks that the server has signed them, refuses stream keys that begin with ``private-``, and
prints all that it is told, one JSON value a line. The server needs the same WEBHOOK_SECRET, and
WEBHOOK_ON_PUBLISH=http://127.0.0.1:8081/ or others of these settings.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET", "").encode()
MAX_AGE = 300  # seconds


def is_genuine(secret: bytes, header: str, body: bytes, now: float) -> bool:
    """Tell whether a request was sent by who knows the secret, and not long ago."""
    fields = dict(field.split("=", 1) for field in header.split(",") if "=" in field)
    sent, signature = fields.get("t", ""), fields.get("v1", "")
    if not sent.isdigit() or abs(now - int(sent)) > MAX_AGE:
        return False
    expected = hmac.new(secret, sent.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


class Hooks(BaseHTTPRequestHandler):
    """Answers RapidRTMP."""

    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:
        """Answer one call."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not is_genuine(SECRET, self.headers.get("X-RapidRTMP-Signature", ""), body, time.time()):
            self.answer(401, {"reason": "the hook server does not trust this server"})
            return
        event = json.loads(body)
        print(json.dumps(event), flush=True)
        if event["event"] in ("publish", "play") and event["streamKey"].startswith("private-"):
            self.answer(403, {"reason": f"no, {event['streamKey']} is private"})
        else:
            self.answer(200, {})

    def answer(self, status: int, value: object) -> None:
        """Send a JSON value."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep standard output for the events."""


if __name__ == "__main__":
    if not SECRET:  # of an empty one, anybody can make signatures
        sys.exit("webhook_receiver: WEBHOOK_SECRET must be set, to the same value as the server's")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8081
    server = ThreadingHTTPServer(("127.0.0.1", port), Hooks)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
