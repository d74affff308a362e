"""Reads and checks the settings: options, environment, configuration file, secret files.

A setting is called the same everywhere: ``HTTP_ADDR`` in the environment and the file,
``--http-addr`` on the command line, ``settings.http_addr`` in the code.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from rapidrtmp.config.file import read_secret, read_settings
from rapidrtmp.config.kinds import show_duration
from rapidrtmp.config.row import Row, SettingError
from rapidrtmp.config.secret_kinds import HIDDEN
from rapidrtmp.config.table import TABLE, Settings
from rapidrtmp.rtmp.target import Target

__all__ = ["TABLE", "Row", "SettingError", "Settings", "check", "load", "reload", "secrets"]
__all__ += ["warnings"]

_IN_FILE = frozenset(row.name for row in TABLE) - {"CONFIG_FILE"}


def load(environ: Mapping[str, str], options: Mapping[str, str | None] | None = None) -> Settings:
    """Read and check all settings. An empty value counts as not set.

    Args:
        environ: the environment; it wins over the file that CONFIG_FILE names.
        options: what the command line said, by option name without dashes; it wins over the
            environment. None counts as not set.

    Raises:
        SettingError: a value cannot be read or makes no sense. Never holds a secret.
    """
    given = options or {}
    path = given.get("config-file") or environ.get("CONFIG_FILE", "")
    file = read_settings(path, _IN_FILE) if path else {}
    texts = {
        row.name: given.get(row.option) or environ.get(row.name) or file.get(row.name, "")
        for row in TABLE
    }
    settings = Settings(**_values(texts))
    check(settings)
    return settings


def _values(texts: Mapping[str, str]) -> dict[str, Any]:
    """Read what is set into values, by attribute."""
    values: dict[str, Any] = {}
    for row in TABLE:
        text = texts[row.name]
        if not text:
            continue
        values[row.attribute] = _value(row, text, row.name, HIDDEN if row.kind.secret else text)
        if row.secret_of:
            path = values[row.attribute]
            if texts[row.secret_of]:
                raise SettingError(row.name, path, f"must not be given beside {row.secret_of}")
            secret = _SECRETS[row.secret_of]
            values[secret.attribute] = _value(secret, read_secret(row.name, path), row.name, path)
    return values


_SECRETS = {row.name: row for row in TABLE if row.kind.secret}


def _value(row: Row, text: str, name: str, shown: str) -> Any:
    try:
        return row.kind.parse(text)
    except ValueError as error:
        verb = "must be" if name == row.name else "must hold"
        # Not chained where it is secret: the text may be part of the error.
        cause = None if row.kind.secret else error
        raise SettingError(name, shown, f"{verb} {row.kind.allowed}") from cause


def reload(
    previous: Settings, environ: Mapping[str, str], options: Mapping[str, str | None] | None = None
) -> tuple[Settings, list[str]]:
    """Read all settings again, and take over what a running server can.

    Args:
        previous: the settings in force.
        environ: as `load` takes it.
        options: as `load` takes them.

    Returns:
        The settings to be in force now, and one line for each setting that changed but needs a
        restart; those keep their value.

    Raises:
        SettingError: a setting makes no sense; all have to stay as they are.
    """
    # By its absolute name: twistd may have changed the directory since.
    fresh = load(environ, {**(options or {}), "config-file": previous.config_file})
    changes: dict[str, Any] = {}
    lines = []
    for row in TABLE:
        value, old = getattr(fresh, row.attribute), getattr(previous, row.attribute)
        if value != old and row.reload:
            changes[row.attribute] = value
        elif value != old:
            lines.append(f"{row.name}={row.kind.show(value)}: needs a restart")
    settings = replace(previous, **changes)
    # What is taken over must also go with what is kept.
    check(settings)
    return settings, lines


def secrets(settings: Settings) -> list[str]:
    """Give every secret value that is set, so that logs can be kept free of them."""
    single = (settings.playback_secret, settings.webhook_secret)
    relays = (*settings.relay_push, *settings.relay_pull, *settings.relay_pull_on_demand)
    return [
        *(key.value for key in settings.api_keys),
        *filter(None, single),
        # what a server of theirs could repeat; shorter ones would blacken common words
        *(name for relay in relays if len(name := Target.parse(relay.url).name) >= 8),
    ]


def check(settings: Settings) -> None:
    """Refuse values that make no sense together.

    Raises:
        SettingError: naming the first such setting.
    """
    _check_storage(settings)
    if settings.playback_auth and not settings.playback_secret:
        raise SettingError("PLAYBACK_AUTH", "true", "must not be set without PLAYBACK_SECRET")
    longest = show_duration(settings.max_token_expiration)
    if settings.default_token_expiration > settings.max_token_expiration:
        shown = show_duration(settings.default_token_expiration)
        raise SettingError(
            "DEFAULT_TOKEN_EXPIRATION", shown, f"must not exceed MAX_TOKEN_EXPIRATION={longest}"
        )
    _check_listeners(settings)
    pulled = {relay.key for relay in settings.relay_pull}
    if any(relay.key in pulled for relay in settings.relay_pull_on_demand):
        raise SettingError("RELAY_PULL_ON_DEMAND", HIDDEN, "must name no key of RELAY_PULL")


def _check_listeners(settings: Settings) -> None:
    taken: dict[str, str] = {}
    for name in ("HTTP_ADDR", "RTMP_ADDR", "HTTPS_ADDR", "RTMPS_ADDR"):
        address = getattr(settings, name.lower())
        if address in taken and not address.endswith(":0"):
            raise SettingError(name, address, f"must be another address than {taken[address]}")
        if address:
            taken[address] = name
    if bool(settings.tls_cert) != bool(settings.tls_key):
        given, missing = ("CERT", "KEY") if settings.tls_cert else ("KEY", "CERT")
        value = settings.tls_cert or settings.tls_key
        raise SettingError(f"TLS_{given}", value, f"must not be set without TLS_{missing}")
    for name in ("HTTPS_ADDR", "RTMPS_ADDR", "RTMP_TLS_SNIFF"):
        value = getattr(settings, name.lower())
        if value and not settings.tls_cert:
            shown = "true" if value is True else value
            raise SettingError(name, shown, "must not be set without TLS_CERT and TLS_KEY")


def _check_storage(settings: Settings) -> None:
    if settings.storage_type == "gcs":
        for name in ("GCS_BUCKET_NAME", "GCS_PROJECT_ID"):
            if not getattr(settings, name.lower()):
                raise SettingError("STORAGE_TYPE", "gcs", f"must not be set without {name}")
    if settings.gcs_signed_urls and settings.storage_type != "gcs":
        raise SettingError("GCS_SIGNED_URLS", "true", "must not be set without STORAGE_TYPE=gcs")
    if settings.gcs_signed_urls and settings.cdn_base_url:
        raise SettingError("GCS_SIGNED_URLS", "true", "must not be set beside CDN_BASE_URL")
    if settings.state_dir.resolve().is_relative_to(settings.storage_dir.resolve()):
        raise SettingError(
            "STATE_DIR",
            str(settings.state_dir),
            f"must not lie inside STORAGE_DIR={settings.storage_dir}",
        )


def warnings(settings: Settings) -> list[str]:
    """Say, one line each, what is allowed but worth a thought."""
    lines = []
    if not settings.auth_required:
        lines.append("AUTH_REQUIRED=false: ANYBODY who can reach RTMP_ADDR may publish any stream")
    ingest = urlsplit(settings.rtmp_ingest_addr)
    port = settings.rtmp_addr.rpartition(":")[2]
    told = ("0", str(ingest.port or 1935))
    if ingest.hostname == "localhost" and port.isdigit() and port not in told:
        lines.append(
            f"RTMP_INGEST_ADDR={settings.rtmp_ingest_addr}: encoders are told another port than "
            f"RTMP_ADDR={settings.rtmp_addr}"
        )
    if settings.trusted_proxies and not settings.api_keys:
        lines.append(
            "TRUSTED_PROXIES without API_KEYS: the API answers only clients on this machine that "
            "come without a proxy"
        )
    if settings.proxy_protocol and not settings.api_keys:
        lines.append(
            "PROXY_PROTOCOL without API_KEYS: what a load balancer on this machine sends without "
            "an address may use the API"
        )
    if settings.hls_max_segments < 6:
        lines.append(
            f"HLS_MAX_SEGMENTS={settings.hls_max_segments}: fewer than 6 segments leave players "
            "little to fall back on"
        )
    if settings.dvr_window and not settings.hls_enabled:
        lines.append(
            f"DVR_WINDOW={show_duration(settings.dvr_window)} with HLS_ENABLED=false: nothing is "
            "packaged, so there is no past to watch"
        )
    elif settings.dvr_window and settings.storage_type == "memory":
        lines.append(
            f"DVR_WINDOW={show_duration(settings.dvr_window)} with STORAGE_TYPE=memory: all of "
            "the window is kept in this process's memory"
        )
    return lines
