"""Storage in a bucket of Google Cloud Storage. Needs the extra ``gcs``."""

# google.auth and google.cloud.storage are not annotated throughout.
# mypy: allow-untyped-calls

import errno
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any, ParamSpec, TypeAlias, TypeVar

import google.auth
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.impersonated_credentials import Credentials as ImpersonatedCredentials
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from requests.adapters import HTTPAdapter
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from rapidrtmp.interfaces import IStorage, NotFound, StorageEntry
from rapidrtmp.storage.gcs_errors import CLIENT_ERRORS, is_missing_bucket, os_error
from rapidrtmp.storage.path import check_range, is_part, split_path
from rapidrtmp.storage.workers import Workers

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Entries: TypeAlias = list[StorageEntry]  # in the class, `list` is the method

WRITERS = 8
READERS = 8
SIGNERS = 2
"""Threads. Viewers' reads never hold up uploads, nor what retention lists and deletes; signing
is quick unless Google does it for us."""

MAX_WAITING_WRITES = 10_000
"""Each stream has one write under way."""
MAX_WAITING_READS = 64
"""Viewers come in any number: better to tell some to come back than to keep all waiting."""
MAX_WAITING_URLS = 10_000
"""Each stream asks for one URL a segment."""

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and between two bytes of the answer."""

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
"""OAuth 2.0 scope for objects and for signing; what is allowed within it IAM says."""

_PROBE_OBJECT = ".probe"


@implementer(IStorage)
class GCSStorage:
    """Keeps files as objects ``<base_dir>/<path>`` of one bucket.

    Credentials are the application's default ones; none are used when
    ``STORAGE_EMULATOR_HOST`` names an emulator. Failures are told at once: who wants to try
    again, and how often, knows better than the client. All but NotFound are OSErrors.
    """

    name = "gcs"

    def __init__(
        self,
        bucket: str,
        project: str,
        base_dir: str,
        reactor: IReactorFromThreads,
        *,
        url_expiration: float | None = None,
    ) -> None:
        """Make the storage; the network is first touched by the first call.

        Args:
            bucket: its name. It must exist.
            project: Google Cloud project of the bucket.
            base_dir: what each object's name begins with, one or more parts of a path.
            reactor: where the Deferreds fire.
            url_expiration: seconds for which the URLs are valid, V4-signed, at most
                seven days; None for unsigned URLs, which need a public bucket.
        """
        self._bucket_name = bucket
        self._project = project
        self._base = f"{base_dir}/"
        self._url_expiration = url_expiration
        self._writers = Workers(reactor, "gcs-write", WRITERS, MAX_WAITING_WRITES)
        self._readers = Workers(reactor, "gcs-read", READERS, MAX_WAITING_READS)
        self._signers = Workers(reactor, "gcs-sign", SIGNERS, MAX_WAITING_URLS)
        self._opening = Lock()
        self._bucket: Any = None
        self._signing: Signing | None = None

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Write a whole file. See `IStorage.put`."""
        return self._run(self._writers, self._put, path, tuple(data), content_type, cache_control)

    def get(self, path: str, start: int = 0, end: int | None = None) -> Deferred[bytes]:
        """Read bytes [start, end) of a file. See `IStorage.get`."""
        return self._run(self._readers, self._get, path, start, end)

    def delete(self, path: str) -> Deferred[None]:
        """Remove a file. See `IStorage.delete`."""
        return self._run(self._writers, self._delete, path)

    def exists(self, path: str) -> Deferred[bool]:
        """Tell whether there is such a file. See `IStorage.exists`."""
        return self._run(self._readers, self._exists, path)

    def list(self, prefix: str = "") -> Deferred[list[StorageEntry]]:
        """List files. See `IStorage.list`."""
        return self._run(self._writers, self._list, prefix)

    def url_for(self, path: str) -> Deferred[str]:
        """Give the file's URL at the store: V4-signed if asked for, else the public one."""
        return self._run(self._signers, self._url_for, path)

    def close(self) -> Deferred[None]:
        """Finish the calls under way, then end threads and connections."""
        pools = (self._writers, self._readers, self._signers)
        return gatherResults([pool.close() for pool in pools]).addCallback(self._disconnect)

    def _disconnect(self, _: object) -> None:
        if self._bucket is not None:
            self._bucket.client.close()

    def _run(
        self, workers: Workers, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_T]:
        return workers.run(self._work, lambda: work(*args, **kwargs))

    # In a thread.

    def _work(self, work: Callable[[], _T]) -> _T:
        try:
            return self._try(work)
        except ConnectionResetError:
            # The store closed an idle connection just as it was used (RFC 9112 section 9.3.1).
            # What was asked may be asked again: all our calls are idempotent.
            return self._try(work)

    def _try(self, work: Callable[[], _T]) -> _T:
        try:
            with self._opening:
                if self._bucket is None:
                    self._open()
            return work()
        except CLIENT_ERRORS as error:
            raise os_error(error, self._bucket_name) from None

    def _open(self) -> None:
        """Find credentials, and see whether they can sign if they will have to."""
        # Or the client would ask for the bucket's metadata in the background, for its traces.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        emulated = bool(os.environ.get("STORAGE_EMULATOR_HOST"))
        credentials: Any = AnonymousCredentials()
        if not emulated:
            credentials, _ = google.auth.default(scopes=SCOPES)
        session = AuthorizedSession(credentials, refresh_timeout=TIMEOUT[1])
        # The default keeps ten connections; threads beyond that would open one a request.
        adapter = HTTPAdapter(pool_maxsize=WRITERS + READERS)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        client = storage.Client(project=self._project, credentials=credentials, _http=session)
        bucket = client.bucket(self._bucket_name)
        if self._url_expiration is not None:
            if emulated:
                credentials, _ = google.auth.default(scopes=SCOPES)
            self._signing = signing_credentials(credentials)
            self._sign(bucket.blob(self._base + _PROBE_OBJECT), self._url_expiration)
        self._bucket = bucket

    def _blob(self, path: str) -> Any:
        split_path(path)
        return self._bucket.blob(self._base + path)

    def _put(self, path: str, data: Sequence[bytes], content_type: str, cache_control: str) -> None:
        blob = self._blob(path)
        # Goes with the upload: up to 8 MiB it is one request.
        blob.cache_control = cache_control or None
        blob.upload_from_string(
            b"".join(data), content_type=content_type, timeout=TIMEOUT, retry=None
        )

    def _get(self, path: str, start: int, end: int | None) -> bytes:
        blob = self._blob(path)
        check_range(start, end)
        if start == end:
            # HTTP has no empty range.
            if not blob.exists(timeout=TIMEOUT, retry=None):
                raise NotFound(path)
            return b""
        try:
            body: bytes = blob.download_as_bytes(
                start=start or None,
                end=None if end is None else end - 1,
                timeout=TIMEOUT,
                retry=None,
            )
        except exceptions.RequestRangeNotSatisfiable:
            return b""  # it begins behind the end of the file
        except exceptions.NotFound as error:
            if is_missing_bucket(error):
                raise
            raise NotFound(path) from None
        return body

    def _delete(self, path: str) -> None:
        try:
            self._blob(path).delete(timeout=TIMEOUT, retry=None)
        except exceptions.NotFound as error:
            if is_missing_bucket(error):
                raise

    def _exists(self, path: str) -> bool:
        return bool(self._blob(path).exists(timeout=TIMEOUT, retry=None))

    def _list(self, prefix: str) -> _Entries:
        if prefix:
            split_path(prefix)
        name = self._base + prefix
        blobs = self._bucket.list_blobs(
            prefix=name,
            # '0' is what follows '/': spares us 'a1/...' and the like when we want 'a/...'
            end_offset=f"{name}0" if prefix else None,
            fields="items(name,size,updated),nextPageToken",
            timeout=TIMEOUT,
            retry=None,
        )
        entries = []
        for blob in blobs:
            path = blob.name.removeprefix(self._base)
            is_below = not prefix or path == prefix or path.startswith(prefix + "/")
            # Others may have objects here whose names are no paths of ours ('directory/').
            if is_below and all(map(is_part, path.split("/"))):
                entries.append(StorageEntry(path, blob.size, blob.updated.timestamp()))
        return sorted(entries)

    def _url_for(self, path: str) -> str:
        blob = self._blob(path)
        if self._url_expiration is None:
            return str(blob.public_url)
        return self._sign(blob, self._url_expiration)

    def _sign(self, blob: Any, expiration: float) -> str:
        url: str = blob.generate_signed_url(
            version="v4",
            method="GET",
            expiration=timedelta(seconds=expiration),
            credentials=self._signing,
        )
        return url


def signing_credentials(credentials: Any) -> Signing:
    """Find what can sign URLs. May ask the metadata server who we are.

    Args:
        credentials: those of a service account with its private key sign by themselves; for
            those of a machine or workload without one, the IAM API ``signBlob`` does it, for
            which the account needs the role Service Account Token Creator on itself.

    Raises:
        OSError: these credentials can never sign.
    """
    if isinstance(credentials, Signing):
        return credentials
    if getattr(credentials, "service_account_email", None) == "default":
        # A machine's account has its name only after the first contact.
        credentials.refresh(Request())
    email = getattr(credentials, "service_account_email", None)
    if not email:
        raise OSError(
            errno.EACCES, "signed URLs need the credentials of a service account; these are none"
        )
    return ImpersonatedCredentials(credentials, email, SCOPES)
