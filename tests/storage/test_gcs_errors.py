"""Tests of rapidrtmp.storage.gcs_errors."""

import errno
import json
import socket
from http.client import RemoteDisconnected
from ssl import SSLCertVerificationError

import requests
import urllib3
from google.api_core.exceptions import Forbidden, from_http_response
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.cloud.storage.exceptions import DataCorruption
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.storage.gcs_errors import CLIENT_ERRORS, is_missing_bucket, os_error


def answer(status: int, body: str) -> requests.Response:
    """Make a response of the store."""
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()
    response.request = requests.Request("GET", "https://host/path?token=HIDDEN").prepare()
    return response


def said(message: str) -> str:
    """Give the body with which the JSON API explains an error."""
    return json.dumps({"error": {"code": 0, "message": message}})


def wrapped(below: Exception, *layers: Exception) -> Exception:
    """Raise an error through the layers of a client."""
    for layer in layers:
        try:
            try:
                raise below
            except Exception:
                raise layer  # noqa: B904 (as the layers do it)
        except Exception as error:
            below = error
    return below


class HTTPTests(SynchronousTestCase):
    def test_statuses(self) -> None:
        """Each status has its kind of error, in our words and the store's."""
        for status, body, kind, number, words in [
            (401, said("Invalid"), PermissionError, errno.EACCES, "the credentials are refused"),
            (403, said("x lacks y"), PermissionError, errno.EACCES, "access is denied"),
            (404, said("No"), FileNotFoundError, errno.ENOENT, "there is no such bucket"),
            (408, said("Slow"), TimeoutError, errno.ETIMEDOUT, "the request took too long"),
            (412, said("Was"), OSError, errno.EIO, "the request failed"),
            (429, said("Much"), OSError, errno.EBUSY, "too many requests"),
            (500, said("Oh"), OSError, errno.EIO, "the request failed"),
            (503, said("Later"), OSError, errno.EBUSY, "the service is unavailable"),
            (504, said("Late"), TimeoutError, errno.ETIMEDOUT, "the service took too long"),
        ]:
            with self.subTest(status=status):
                error = os_error(from_http_response(answer(status, body)), "b")
                self.assertIs(type(error), kind)
                self.assertEqual(error.errno, number)
                reason = json.loads(body)["error"]["message"]
                self.assertEqual(error.strerror, f"bucket b: {words} (HTTP {status}: {reason})")

    def test_strange_bodies(self) -> None:
        """Whatever the answer is made of, the message is one short line without the URL."""
        for body in (
            "",
            "<html>\n" * 1000,
            "[]",
            "null",
            '{"error": {"message": null}}',
            said("first\nsecond\x1b[0m"),
            said("x" * 10_000),
        ):
            with self.subTest(body=body[:40]):
                text = str(os_error(from_http_response(answer(403, body)), "b"))
                self.assertTrue(text.isprintable() and len(text) < 300, text)
                for word in ("HIDDEN", "second", "host"):
                    self.assertNotIn(word, text)

    def test_no_response(self) -> None:
        """An error without a response is told by its status alone."""
        error = os_error(Forbidden("POST https://host/?token=HIDDEN: no"), "b")
        self.assertEqual(error.strerror, "bucket b: access is denied (HTTP 403)")

    def test_missing_bucket(self) -> None:
        """A 404 for the bucket is told from one for the object."""
        for message, expected in [
            ("The specified bucket does not exist.", True),
            ("No such object: b/a", False),
        ]:
            error = from_http_response(answer(404, said(message)))
            self.assertIs(is_missing_bucket(error), expected)


class ConnectionTests(SynchronousTestCase):
    def test_layers(self) -> None:
        """What the system said is found below the layers of the client."""
        pool = urllib3.HTTPConnectionPool("host")
        connection = urllib3.connection.HTTPConnection("host")
        for below, kind, words in [
            (
                ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
                ConnectionRefusedError,
                "cannot be reached: Connection refused",
            ),
            (
                RemoteDisconnected("Remote end closed connection"),
                ConnectionResetError,
                "cannot be reached: Remote end closed connection",
            ),
            (
                socket.gaierror(-2, "Name or service not known"),
                OSError,
                "cannot be reached: Name or service not known",
            ),
            (
                SSLCertVerificationError(1, "certificate verify failed"),
                OSError,
                "cannot be reached: certificate verify failed",
            ),
            (TimeoutError("timed out"), TimeoutError, "no answer in time"),
            (
                urllib3.exceptions.ReadTimeoutError(pool, "/", "Read timed out."),
                TimeoutError,
                "no answer in time",
            ),
        ]:
            for layers in (
                [urllib3.exceptions.NewConnectionError(connection, "x")],
                [urllib3.exceptions.ProtocolError("x"), requests.ConnectionError("x")],
                [requests.ConnectionError("x"), TransportError("x")],
            ):
                with self.subTest(below=below, layers=layers):
                    raised = wrapped(below, *layers)
                    self.assertIsInstance(raised, CLIENT_ERRORS)
                    error = os_error(raised, "b")
                    self.assertIs(type(error), kind)
                    self.assertEqual(error.strerror, f"bucket b: {words}")

    def test_alone(self) -> None:
        """An error that nothing lies below is told in its own first line."""
        for raised, kind, words in [
            (requests.ConnectTimeout("x"), TimeoutError, "no answer in time"),
            (requests.ReadTimeout("x"), TimeoutError, "no answer in time"),
            (TransportError("first\nsecond"), OSError, "cannot be reached: first"),
            (requests.exceptions.InvalidURL("bad"), OSError, "cannot be reached: bad"),
            (DataCorruption(None, "x"), OSError, "an object arrived damaged"),
            (DefaultCredentialsError("none"), PermissionError, "no usable credentials: none"),
            (
                RefreshError("invalid_grant: no", {"token": "HIDDEN"}),
                PermissionError,
                "the credentials are refused: invalid_grant: no",
            ),
        ]:
            with self.subTest(raised=raised):
                self.assertIsInstance(raised, CLIENT_ERRORS)
                error = os_error(raised, "b")
                self.assertIs(type(error), kind)
                self.assertEqual(error.strerror, f"bucket b: {words}")
