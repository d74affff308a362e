"""``rapidrtmp check`` without an address: tries out what the settings name, without a server."""

# Twisted's services carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory

from rapidrtmp import config
from rapidrtmp.config import SettingError, Settings
from rapidrtmp.interfaces import IStorage
from rapidrtmp.listener import Listener
from rapidrtmp.storage.backends import PROBE_PATH, probe
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.store import open_store
from rapidrtmp.tls import load_key_pair

PATIENCE = 60.0
"""Seconds for one storage to answer."""


async def check(settings: Settings, reactor: Any, report: Callable[[str], object]) -> bool:
    """Try both storages and both addresses. A running server on the same addresses is a problem.

    Args:
        settings: checked ones.
        reactor: what to listen with, and the clock.
        report: takes one line for each thing tried, and one for each warning.

    Returns:
        Whether all is well.
    """
    well = True
    trials = [_try_state, _try_storage, _try_rtmp, _try_http]
    if settings.rtmps_addr or settings.https_addr or settings.rtmp_tls_sniff:
        trials.append(_try_certificate)
    if settings.rtmps_addr:
        trials.append(_try_rtmps)
    if settings.https_addr:
        trials.append(_try_https)
    for trial in trials:
        try:
            report(f"ok       {await trial(settings, reactor)}")
        except SettingError as error:
            well = False
            report(f"problem  {error}")
    for line in config.warnings(settings):
        report(f"warning  {line}")
    return well


async def _try_state(settings: Settings, reactor: Any) -> str:
    directory = str(settings.state_dir)
    await _probe(LocalStorage(settings.state_dir, reactor), "STATE_DIR", directory, reactor)
    return f"STATE_DIR={directory}: can be written"


async def _try_storage(settings: Settings, reactor: Any) -> str:
    storage = open_store(settings, reactor)
    name, value = "STORAGE_TYPE", settings.storage_type
    if value == "local":
        name, value = "STORAGE_DIR", str(settings.storage_dir)
    elif value == "gcs":
        name, value = "GCS_BUCKET_NAME", settings.gcs_bucket_name
    await _probe(storage, name, value, reactor, signing=settings.gcs_signed_urls)
    return f"{name}={value}: can be written"


async def _probe(
    storage: IStorage, name: str, value: str, reactor: Any, *, signing: bool = False
) -> None:
    try:
        await probe(storage).addTimeout(PATIENCE, reactor)
        if signing:
            await storage.url_for(PROBE_PATH).addTimeout(PATIENCE, reactor)
    except Exception as error:  # whatever a backend, possibly another package's, raises
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SettingError(name, value, f"cannot be used: {words}") from error
    finally:
        await storage.close()


async def _try_rtmp(settings: Settings, reactor: Any) -> str:
    return await _try_address("RTMP_ADDR", settings.rtmp_addr, reactor)


async def _try_http(settings: Settings, reactor: Any) -> str:
    return await _try_address("HTTP_ADDR", settings.http_addr, reactor)


async def _try_rtmps(settings: Settings, reactor: Any) -> str:
    return await _try_address("RTMPS_ADDR", settings.rtmps_addr, reactor)


async def _try_https(settings: Settings, reactor: Any) -> str:
    return await _try_address("HTTPS_ADDR", settings.https_addr, reactor)


async def _try_certificate(settings: Settings, reactor: Any) -> str:
    load_key_pair(settings.tls_cert, settings.tls_key)
    return f"TLS_CERT={settings.tls_cert}: fits TLS_KEY"


async def _try_address(name: str, address: str, reactor: Any) -> str:
    listener = Listener(reactor, name, address, Factory())
    try:
        listener.privilegedStartService()
    finally:
        await listener.stopService()
    return f"{name}={address}: can be listened on"
