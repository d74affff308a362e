"""Tests of rapidrtmp.storage.gcs on an emulator, and of what it says when things fail."""

import base64
import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth import compute_engine
from google.auth.impersonated_credentials import Credentials as ImpersonatedCredentials
from google.auth.transport.requests import AuthorizedSession
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import IMMUTABLE, NO_CACHE, NotFound
from rapidrtmp.storage import gcs
from rapidrtmp.storage.backends import probe
from rapidrtmp.storage.gcs import GCSStorage, signing_credentials
from tests.integration.gcs import BUCKET, Emulator, free_port
from tests.integration.server import fetch
from tests.storage import contract
from tests.storage.threads import ThreadResults

BASE = "live/streams"
EMAIL = "signer@project.iam.gserviceaccount.com"
ENVIRONMENT = "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"


def serve(listening: socket.socket, answers: list[bytes]) -> None:
    """Answer one request a connection, then close it."""
    with contextlib.suppress(OSError):
        for answer in answers:
            with listening.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)


class GCSCase(contract.Mixin):
    """A storage at an emulator's bucket."""

    timeout = 120
    scheme = "http"
    backend = "filesystem"

    def open_storage(self) -> GCSStorage:
        self.results = ThreadResults()
        self.emulator = Emulator(self, self.backend)
        self.environment(self.emulator.host)
        return self.storage_of(BUCKET)

    def environment(self, emulator: str = "", credentials: str = "") -> None:
        """Set where the client looks, until the test ends."""
        environ = dict(os.environ)
        environ.update(zip(ENVIRONMENT, (emulator, credentials), strict=True))
        for name in ENVIRONMENT:
            if not environ[name]:
                del environ[name]
        self.patch(os, "environ", environ)

    def storage_of(self, bucket: str, url_expiration: float | None = None) -> GCSStorage:
        return GCSStorage(bucket, "project", BASE, self.results, url_expiration=url_expiration)

    def result_of(self, deferred: Deferred[Any]) -> Any:
        return self.results.result_of(deferred)

    def now(self) -> float:
        return time.time()


class ContractTests(GCSCase, contract.StorageContract, SynchronousTestCase):
    backend = "memory"  # on disk the emulator cannot have the longest names

    def test_name(self) -> None:
        """It is called what the settings call it."""
        self.assertEqual(self.storage.name, "gcs")

    def test_url(self) -> None:
        """The public URL of a file can be fetched."""
        super().test_url()
        self.put("key/1/42.m4s", b"body")
        url = urlsplit(self.wait(self.storage.url_for("key/1/42.m4s")))
        self.assertEqual(url.path, f"/{BUCKET}/{BASE}/key/1/42.m4s")
        assert url.port is not None
        self.assertEqual(fetch(url.port, url.path).body, b"body")


class BucketTests(GCSCase, SynchronousTestCase):
    """What is in the bucket, and which requests brought it there."""

    def setUp(self) -> None:
        """Open a storage."""
        self.storage = self.open_storage()
        self.addCleanup(lambda: self.result_of(self.storage.close()))

    def done(self, deferred: Deferred[Any]) -> Any:
        """Give the result of a Deferred that must not fail."""
        result = self.result_of(deferred)
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def test_metadata(self) -> None:
        """Objects lie below the base directory, with the type and cache headers they were given."""
        files = {
            "key/a.m4s": ("video/mp4", IMMUTABLE),
            "key/a.m3u8": ("application/vnd.apple.mpegurl", NO_CACHE),
        }
        for path, (content_type, cache_control) in files.items():
            self.done(self.storage.put(path, (b"12", b"345"), content_type, cache_control))
        objects = self.emulator.objects()
        self.assertEqual(
            {
                name: (item["contentType"], item["cacheControl"], item["size"])
                for name, item in objects.items()
            },
            {f"{BASE}/{path}": (*headers, "5") for path, headers in files.items()},
        )
        self.assertEqual(self.emulator.read(f"{BASE}/key/a.m4s"), b"12345")

    def test_one_request(self) -> None:
        """Each call is one request; a put is one that carries body and metadata together."""
        self.done(self.storage.put("a", (b"1",), "video/mp4", NO_CACHE))
        self.done(self.storage.get("a", 0, 1))
        self.done(self.storage.list())
        self.done(self.storage.delete("a"))
        self.done(self.storage.delete("a"))
        self.result_of(self.storage.get("a"))
        self.done(self.storage.close())
        *setup, put, get, listing, delete, again, absent = self.emulator.requests()
        self.assertTrue(all(request.endswith("/storage/v1/b") for request in setup), setup)
        self.assertTrue(put.startswith("POST /upload/") and "uploadType=multipart" in put, put)
        self.assertTrue(get.startswith("GET /download/"), get)
        self.assertIn("prefix=", listing)
        self.assertTrue(delete.startswith("DELETE "), delete)
        self.assertTrue(again.startswith("DELETE "), again)
        self.assertTrue(absent.startswith("GET /download/"), absent)

    def test_large(self) -> None:
        """A file that the client uploads in another way has its bytes and metadata, too."""
        body = os.urandom(1 << 20) * 9
        self.done(self.storage.put("big", (body,), "video/mp4", IMMUTABLE))
        self.assertEqual(self.done(self.storage.get("big")), body)
        self.assertEqual(self.emulator.objects()[f"{BASE}/big"]["cacheControl"], IMMUTABLE)

    def test_objects_of_others(self) -> None:
        """Objects beside the base directory, or with names that are no paths, are not listed."""
        other = GCSStorage(BUCKET, "project", "live/streams2", self.results)
        strange = GCSStorage(BUCKET, "project", f"{BASE}/b c", self.results)
        for storage in (self.storage, other, strange):
            self.done(storage.put("a", (b"1",), "", ""))
        self.assertEqual([e.path for e in self.done(self.storage.list())], ["a"])
        self.assertEqual(len(self.emulator.objects()), 3)
        for storage in (other, strange):
            self.done(storage.close())

    def test_inline_before_the_reactor_runs(self) -> None:
        """While the process starts, calls are answered at once."""
        self.results.running = False
        self.addCleanup(setattr, self.results, "running", True)
        self.assertIsNone(self.successResultOf(probe(self.storage)))
        self.assertEqual(self.emulator.objects(), {})


class FailureTests(GCSCase, SynchronousTestCase):
    """What goes wrong is an OSError of one clear line, and soon."""

    def setUp(self) -> None:
        """Stand in for the reactor."""
        self.results = ThreadResults()

    def error_of(self, deferred: Deferred[Any]) -> OSError:
        """Give the error of a call that must fail, and is neither slow nor hidden in others."""
        started = time.monotonic()
        result = self.result_of(deferred)
        self.assertLess(time.monotonic() - started, 20.0)
        assert isinstance(result, Failure), f"{result!r} instead of a failure"
        error = result.value
        assert isinstance(error, OSError), repr(error)
        self.assertEqual(type(error).__module__, "builtins")
        self.assertTrue(error.__cause__ is None and error.__suppress_context__)
        self.assertTrue(str(error).isprintable())
        return error

    def test_killed(self) -> None:
        """A store that dies fails every call at once, and works again when it is back."""
        storage = self.open_storage()
        self.addCleanup(lambda: self.result_of(storage.close()))
        self.assertIsNone(self.result_of(storage.put("a", (b"1",), "video/mp4", NO_CACHE)))
        self.emulator.kill()
        for call in (
            storage.put("b", (b"1",), "video/mp4", NO_CACHE),
            storage.get("a"),
            storage.get("a", 1, 1),
            storage.delete("a"),
            storage.exists("a"),
            storage.list(),
        ):
            error = self.error_of(call)
            self.assertIsInstance(error, ConnectionError)
            self.assertIn(f"bucket {BUCKET}: cannot be reached: ", str(error))
        error = self.error_of(storage.get("a"))
        self.assertEqual(error.strerror, f"bucket {BUCKET}: cannot be reached: Connection refused")
        self.emulator.restart()
        self.assertEqual(self.result_of(storage.get("a")), b"1")
        self.assertEqual(list(self.emulator.objects()), [f"{BASE}/a"])
        self.assertEqual(self.emulator.objects()[f"{BASE}/a"]["contentType"], "video/mp4")

    def test_bucket_missing(self) -> None:
        """A bucket that is not there fails the probe of the start."""
        self.open_storage()
        storage = self.storage_of("no-such-bucket")
        for call in (probe(storage), storage.list()):
            error = self.error_of(call)
            self.assertIn("bucket no-such-bucket: there is no such bucket (HTTP 404", str(error))
        self.result_of(storage.close())

    def test_bucket_deleted(self) -> None:
        """A bucket that vanished is no missing object, where the store tells the difference."""
        body = b'{"error": {"message": "The specified bucket does not exist."}}'
        head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.environment(f"http://127.0.0.1:{listening.getsockname()[1]}")
            answers = [head + body] * 2
            threading.Thread(target=serve, args=(listening, answers), daemon=True).start()
            storage = self.storage_of(BUCKET)
            for call in (storage.get("a"), storage.delete("a")):
                self.assertIsInstance(self.error_of(call), FileNotFoundError)
            self.result_of(storage.close())

    def test_silent(self) -> None:
        """A store that takes the connection and never answers is given up."""
        self.patch(gcs, "TIMEOUT", (0.2, 0.2))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.environment(f"http://127.0.0.1:{listening.getsockname()[1]}")
            storage = self.storage_of(BUCKET)
            for call in (probe(storage), storage.get("a"), storage.list()):
                error = self.error_of(call)
                self.assertIsInstance(error, TimeoutError)
                self.assertEqual(error.strerror, f"bucket {BUCKET}: no answer in time")
            self.result_of(storage.close())

    def test_reads_do_not_hold_up_writes(self) -> None:
        """While as many reads hang as may, one more is refused at once, and writes go on."""
        self.patch(gcs, "TIMEOUT", (0.3, 0.3))
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
            self.environment(f"http://127.0.0.1:{listening.getsockname()[1]}")
            storage = self.storage_of(BUCKET)
            reads = [storage.get("a") for _ in range(gcs.READERS + gcs.MAX_WAITING_READS)]
            self.failureResultOf(storage.get("a"), BlockingIOError)
            self.error_of(storage.put("a", (b"1",), "video/mp4", NO_CACHE))
            self.assertNoResult(reads[-1])
            for read in reads:
                self.assertIsInstance(self.result_of(read).value, TimeoutError)
            self.result_of(storage.close())

    def test_reset(self) -> None:
        """A connection that the store closes as it is used is no failure; two in a row are one."""
        for resets, expected in [(1, NotFound), (2, ConnectionResetError)]:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                self.environment(f"http://127.0.0.1:{listening.getsockname()[1]}")
                answers = [b""] * resets + [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
                server = threading.Thread(target=serve, args=(listening, answers), daemon=True)
                server.start()
                storage = self.storage_of(BUCKET)
                self.assertIs(type(self.result_of(storage.get("a")).value), expected)
                self.result_of(storage.close())

    def test_unknown_host(self) -> None:
        """A name that cannot be resolved is told in the system's words."""
        self.environment("http://no-such-host.invalid")
        storage = self.storage_of(BUCKET)
        error = self.error_of(probe(storage))
        self.assertIn("cannot be reached: ", str(error))
        self.result_of(storage.close())

    def test_credentials(self) -> None:
        """Credentials that are missing or broken are told, with nothing of what they hold."""
        broken = Path(self.mktemp())
        for content in ('{"type": "service_account", "private_key": "HIDDEN"}', "HIDDEN"):
            broken.write_text(content)
            self.environment(credentials=str(broken))
            storage = self.storage_of(BUCKET)
            error = self.error_of(probe(storage))
            self.assertIsInstance(error, PermissionError)
            self.assertIn("no usable credentials: ", str(error))
            self.assertNotIn("HIDDEN", repr(error))
            self.result_of(storage.close())

    def test_not_found_is_no_oserror(self) -> None:
        """A missing object is NotFound, by its path."""
        storage = self.open_storage()
        for call in (storage.get("a/b"), storage.get("a/b", 7), storage.get("a/b", 7, 7)):
            error = self.result_of(call).value
            self.assertIsInstance(error, NotFound)
            self.assertEqual(str(error), "a/b")
        self.result_of(storage.close())


class SignedURLTests(GCSCase, SynchronousTestCase):
    """V4 signatures, checked by the published algorithm, as no emulator does it."""

    def setUp(self) -> None:
        """Make a service account whose key nobody else has."""
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.account = Path(self.mktemp())
        self.account.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "client_email": EMAIL,
                    "private_key_id": "1",
                    "private_key": pem.decode(),
                    "token_uri": "http://127.0.0.1:1/token",
                }
            )
        )
        self.results = ThreadResults()

    def verify(self, url: str) -> dict[str, str]:
        """Check the signature of a GET request for a URL; give its query.

        Raises:
            InvalidSignature: it is not our key's for this URL.
        """
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=True))
        signature = bytes.fromhex(query.pop("X-Goog-Signature"))
        canonical_query = "&".join(
            f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query)
        )
        request = "\n".join(
            [
                *("GET", parts.path, canonical_query, f"host:{parts.netloc}", "", "host"),
                "UNSIGNED-PAYLOAD",
            ]
        )
        scope = query["X-Goog-Credential"].split("/", 1)[1]
        to_sign = "\n".join(
            [
                query["X-Goog-Algorithm"],
                query["X-Goog-Date"],
                scope,
                hashlib.sha256(request.encode()).hexdigest(),
            ]
        )
        self.key.public_key().verify(
            signature, to_sign.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        return query

    def signed(self, expiration: float) -> str:
        storage = self.storage_of(BUCKET, expiration)
        url = self.result_of(storage.url_for("key/life/42.m4s"))
        self.result_of(storage.close())
        assert isinstance(url, str), url
        return url

    def test_google(self) -> None:
        """A URL at Google names the object, our account, the time and the expiry; it is signed."""
        self.environment(credentials=str(self.account))
        before = datetime.now(UTC).replace(microsecond=0)
        url = self.signed(3600.0)
        after = datetime.now(UTC)
        beginning = f"https://storage.googleapis.com/{BUCKET}/{BASE}/key/life/42.m4s?"
        self.assertTrue(url.startswith(beginning), url)
        query = self.verify(url)
        signed_at = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        self.assertTrue(before <= signed_at <= after)
        self.assertEqual(query["X-Goog-Algorithm"], "GOOG4-RSA-SHA256")
        self.assertEqual(query["X-Goog-Expires"], "3600")
        self.assertEqual(query["X-Goog-SignedHeaders"], "host")
        self.assertEqual(
            query["X-Goog-Credential"], f"{EMAIL}/{signed_at:%Y%m%d}/auto/storage/goog4_request"
        )
        for changed in (url.replace("42.m4s", "43.m4s"), url.replace("=3600", "=7200")):
            with self.assertRaises(Exception) as caught:
                self.verify(changed)
            self.assertEqual(type(caught.exception).__name__, "InvalidSignature")

    def test_emulator(self) -> None:
        """At an emulator the objects are anyone's, and the URLs are signed all the same."""
        storage = self.open_storage()
        self.environment(self.emulator.host, str(self.account))
        self.assertIsNone(self.result_of(storage.put("key/life/42.m4s", (b"body",), "", "")))
        url = self.signed(60.0)
        self.assertEqual(self.verify(url)["X-Goog-Expires"], "60")
        parts = urlsplit(url)
        answer = fetch(self.emulator.port, f"{parts.path}?{parts.query}")
        self.assertEqual((answer.status, answer.body), (200, b"body"))
        self.result_of(storage.close())

    def test_cannot_sign(self) -> None:
        """Credentials of a person stop the start: they cannot sign."""
        self.account.write_text(
            json.dumps(
                {
                    "type": "authorized_user",
                    "client_id": "1",
                    "client_secret": "HIDDEN",
                    "refresh_token": "HIDDEN",
                }
            )
        )
        self.environment("http://127.0.0.1:1", str(self.account))
        storage = self.storage_of(BUCKET, 60.0)
        error = self.result_of(probe(storage)).value
        self.assertIsInstance(error, PermissionError)
        self.assertIn("signed URLs need the credentials of a service account", str(error))
        self.assertNotIn("HIDDEN", str(error))
        self.result_of(storage.close())

    def test_too_long(self) -> None:
        """An expiry that Google does not allow fails the probe of the start."""
        self.environment(f"http://127.0.0.1:{free_port()}", str(self.account))
        storage = self.storage_of(BUCKET, 8 * 86400.0)
        self.assertIn("seven days", str(self.result_of(probe(storage)).value))
        self.result_of(storage.close())

    def test_machine_name(self) -> None:
        """A machine's account that has no name yet is asked for it."""
        machine = compute_engine.Credentials(universe_domain="googleapis.com")

        def refresh(credentials: Any, request: object) -> None:
            credentials._service_account_email = EMAIL

        self.patch(compute_engine.Credentials, "refresh", refresh)
        credentials: Any = signing_credentials(machine)
        self.assertEqual(credentials.signer_email, EMAIL)

    def test_machine(self) -> None:
        """A machine's account has no key here: the IAM API signs in its name."""
        machine = compute_engine.Credentials(
            service_account_email=EMAIL, universe_domain="googleapis.com"
        )
        credentials = signing_credentials(machine)
        assert isinstance(credentials, ImpersonatedCredentials)
        self.assertEqual(credentials.signer_email, EMAIL)

        asked = []

        class Answer:
            status_code = 200

            def json(self) -> dict[str, str]:
                return {"signedBlob": base64.b64encode(b"signature").decode()}

        def post(session: Any, url: str, **request: Any) -> Answer:
            asked.append((url, base64.b64decode(request["json"]["payload"])))
            return Answer()

        self.patch(AuthorizedSession, "post", post)
        self.assertEqual(credentials.sign_bytes(b"to sign"), b"signature")
        [(url, payload)] = asked
        self.assertEqual(payload, b"to sign")
        self.assertTrue(url.endswith(f"/serviceAccounts/{EMAIL}:signBlob"), url)
