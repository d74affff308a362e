"""Where viewers fetch stored media, when not from this server."""

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from rapidrtmp.interfaces import IMediaURLs, IStorage


@implementer(IMediaURLs)
class CDNURLs:
    """Media at a CDN that fetches from the storage, or from ``/live/`` of this server."""

    def __init__(self, base_url: str) -> None:
        """Make URLs below a base, such as ``https://cdn.example.com/live``."""
        self._base_url = base_url.rstrip("/")

    def url_for(self, path: str) -> Deferred[str]:
        """Give ``<base>/<path>``. See `IMediaURLs.url_for`."""
        return succeed(f"{self._base_url}/{path}")


@implementer(IMediaURLs)
class StorageURLs:
    """Media at the storage's own URLs, signed where it signs them."""

    def __init__(self, storage: IStorage) -> None:
        """Ask a storage for its URLs."""
        self._storage = storage

    def url_for(self, path: str) -> Deferred[str]:
        """Ask. See `IMediaURLs.url_for`. Fails as the storage does."""
        return self._storage.url_for(path)
