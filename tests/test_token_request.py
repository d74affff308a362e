"""Tests for `rapidrtmp.token_request`."""

import json
from http.client import HTTPException
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import token_request
from rapidrtmp.config import Settings
from rapidrtmp.config.secret_kinds import APIKey
from rapidrtmp.token_request import TokenError, announcement, api_key, request_token, server_url

ANSWER = {
    "publishUrl": "rtmp://h/live/a?token=b",
    "expiresAt": "2026-01-01T00:00:00Z",
    "obs": {"server": "rtmp://h/live", "streamKey": "a?token=b"},
}


class AddressTests(SynchronousTestCase):
    """Where the server is asked."""

    def test_addresses(self) -> None:
        """Every address that tells a port is reached; one that listens everywhere, by loopback."""
        for address, url in [
            ("127.0.0.1:80", "http://127.0.0.1:80"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("10.0.0.1:80", "http://10.0.0.1:80"),
            ("localhost:80", "http://localhost:80"),
            ("[::1]:80", "http://[::1]:80"),
            ("[::]:80", "http://localhost:80"),
            ("tcp:80", "http://127.0.0.1:80"),
            ("tcp:port=80:interface=10.0.0.1", "http://10.0.0.1:80"),
        ]:
            self.assertEqual(server_url(address), url)
        self.assertIn(server_url(":80"), ("http://127.0.0.1:80", "http://localhost:80"))

    def test_nowhere(self) -> None:
        """Otherwise the user is asked to say it."""
        for address in (":0", "unix:/run/x", "haproxy:tcp:80"):
            with self.assertRaises(TokenError) as caught:
                server_url(address)
            self.assertIn("--server", str(caught.exception))

    def test_key(self) -> None:
        """The first key that may is taken."""
        read = APIKey("r" * 16, frozenset({"read"}))
        publish = APIKey("p" * 16, frozenset({"publish"}))
        admin = APIKey("a" * 16, frozenset({"admin"}))
        for keys, value in [
            ((read, publish, admin), publish.value),
            ((admin, publish), admin.value),
            ((read,), ""),
            ((), ""),
        ]:
            self.assertEqual(api_key(Settings(api_keys=keys)), value)


class RequestTests(SynchronousTestCase):
    """One request, and its answer."""

    def request(
        self, status: int, body: bytes, server: str = "http://127.0.0.1:80", **given: Any
    ) -> tuple[dict[str, Any], mock.Mock]:
        """Ask for a token, with that answer."""
        connection = mock.Mock()
        connection.getresponse.return_value.status = status
        connection.getresponse.return_value.read.return_value = body
        given = {"bearer": "", "expires_in": None} | given
        name = "HTTPSConnection" if server.startswith("https") else "HTTPConnection"
        with mock.patch.object(token_request, name, return_value=connection) as self.make:
            try:
                return request_token(server, "a", **given), connection
            finally:
                connection.close.assert_called_once_with()

    def test_given(self) -> None:
        """The answer is given as it is."""
        answer, connection = self.request(200, json.dumps(ANSWER).encode())
        self.assertEqual(answer, ANSWER)
        method, path, body, headers = connection.request.call_args.args
        self.assertEqual((method, path), ("POST", "/api/v1/publish"))
        self.assertEqual(json.loads(body), {"streamKey": "a"})
        self.assertNotIn("Authorization", headers)
        self.make.assert_called_once_with("127.0.0.1", 80, timeout=token_request.TIMEOUT)

    def test_wanted(self) -> None:
        """Key, time and the path of another server are sent."""
        _, connection = self.request(201, b"{}", "https://a.example/sub", bearer="k", expires_in=60)
        _, path, body, headers = connection.request.call_args.args
        self.assertEqual(path, "/sub/api/v1/publish")
        self.assertEqual(json.loads(body), {"streamKey": "a", "expiresIn": 60})
        self.assertEqual(headers["Authorization"], "Bearer k")
        self.make.assert_called_once_with("a.example", None, timeout=token_request.TIMEOUT)

    def test_refused(self) -> None:
        """The server's own words are passed on; anything else is told from them."""
        for status, body, words in [
            (403, b'{"error": "not you"}', "refused (403): not you"),
            (500, b"{}", "refused (500): without a reason"),
            (200, b"<html>", "http://127.0.0.1:80 answered 200, not as RapidRTMP does"),
            (404, b"[]", "answered 404"),
            (200, b"\xff", "answered 200"),
        ]:
            with self.assertRaises(TokenError) as caught:
                self.request(status, body)
            self.assertIn(words, str(caught.exception))

    def test_unreachable(self) -> None:
        """No connection, and no HTTP, are one line."""
        for error, words in [
            (ConnectionRefusedError(111, "Connection refused"), "Connection refused; is the"),
            (TimeoutError("timed out"), "timed out"),
            (HTTPException(), "HTTPException"),
        ]:
            connection = mock.Mock()
            connection.request.side_effect = error
            with mock.patch.object(token_request, "HTTPConnection", return_value=connection):
                with self.assertRaises(TokenError) as caught:
                    request_token("http://h", "a", "", None)
            self.assertIn(words, str(caught.exception))
            connection.close.assert_called_once_with()

    def test_announcement(self) -> None:
        """The URL and the two boxes are ready to copy."""
        lines = announcement(ANSWER).splitlines()
        self.assertIn("publishUrl  rtmp://h/live/a?token=b", lines)
        self.assertIn("Server      rtmp://h/live", lines)
        self.assertIn("Stream Key  a?token=b", lines)
        wrong: list[dict[str, Any]] = [{}, {"obs": None}, {"obs": {}}]
        for answer in wrong:
            with self.assertRaises(TokenError):
                announcement(answer)
