"""The storage that the settings ask for."""

from typing import Any

from rapidrtmp.config import SettingError, Settings
from rapidrtmp.interfaces import IStorage
from rapidrtmp.room_settings import longest_window
from rapidrtmp.storage.backends import BadSetting, StorageSettings, open_storage

LEAST_URL_EXPIRATION = 86400.0
"""Seconds that a signed URL is valid at least: for a viewer who paused, and for a longer
playlist after a reload."""
LONGEST_URL_EXPIRATION = 7 * 86400.0
"""Seconds that V4 signatures are valid at most."""


def open_store(settings: Settings, reactor: Any) -> IStorage:
    """Make the storage. Touches no disk and no network.

    Args:
        settings: checked ones.
        reactor: the real one.

    Raises:
        SettingError: there is no such storage, or it cannot be used with these settings.
    """
    wanted = StorageSettings(
        directory=settings.storage_dir,
        gcs_project_id=settings.gcs_project_id,
        gcs_bucket_name=settings.gcs_bucket_name,
        gcs_base_dir=settings.gcs_base_dir,
        gcs_url_expiration=url_expiration(settings) if settings.gcs_signed_urls else None,
    )
    try:
        return open_storage(settings.storage_type, wanted, reactor)
    except BadSetting as error:
        raise SettingError(error.name, error.value, error.problem) from error


def url_expiration(settings: Settings) -> float:
    """Give the seconds that signed URLs are valid.

    A segment is listed for one length of the playlist and kept for another one; with DVR_WINDOW
    it is listed for that, and may have been asked for from the start to the end of it.
    """
    wanted = 3 * longest_window(settings) + 2 * settings.dvr_window
    return min(max(LEAST_URL_EXPIRATION, wanted), LONGEST_URL_EXPIRATION)
