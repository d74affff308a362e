"""The certificate of our own TLS listeners, which can be replaced while they listen."""

# Twisted's factories carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.logger import Logger
from zope.interface import implementer

from rapidrtmp.config import SettingError
from rapidrtmp.protocol.tls_handshake import openssl_words

HTTPS_PROTOCOLS = (b"h2", b"http/1.1")
"""What the HTTPS listener speaks, best first (RFC 7301, ALPN)."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, those with forward secrecy and authenticated encryption: no others may be used with
HTTP/2 (RFC 9113 section 9.2.2). All of TLS 1.3 are such."""

_WEEK = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key, and the certificates that vouch for it."""

    key: Any
    """As `cryptography` reads it."""
    chain: tuple[x509.Certificate, ...]
    """The server's own certificate, then those of the authorities behind it."""

    @property
    def names(self) -> str:
        """The names and addresses that the certificate is for."""
        try:
            found = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return self.chain[0].subject.rfc4514_string() or "nobody"
        return ", ".join(str(name.value) for name in found.value)

    @property
    def expires(self) -> datetime:
        """When the certificate stops to be valid."""
        return self.chain[0].not_valid_after_utc

    def context(self, protocols: Sequence[bytes]) -> SSL.Context:
        """Make a server's side of TLS: 1.2 at least, with the best of its ciphers.

        Args:
            protocols: of ALPN, best first. A client that offers none of them is served none
                the less: it will speak what the address is for.
        """

        def choose(connection: SSL.Connection, offered: list[bytes]) -> Any:
            return next(
                (each for each in protocols if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS
            )

        first, *others = map(crypto.X509.from_cryptography, self.chain)
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(self.key),
            certificate=first,
            extraCertChain=others,
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
        )
        context: SSL.Context = options.getContext()
        context.set_alpn_select_callback(choose)
        return context


def load_key_pair(certificate: str, key: str) -> KeyPair:
    """Read a pair of PEM files.

    Args:
        certificate: path of the certificate with those of the authorities behind it.
        key: path of its private key.

    Raises:
        SettingError: a file cannot be read, or the two do not fit.
    """
    chain_pem, key_pem = _read("TLS_CERT", certificate), _read("TLS_KEY", key)
    try:
        chain = tuple(x509.load_pem_x509_certificates(chain_pem))
    except ValueError as error:
        raise SettingError("TLS_CERT", certificate, "must hold a PEM certificate") from error
    try:
        # Not chained: what the library says may be about the key itself.
        private = load_pem_private_key(key_pem, None)
    except TypeError:
        raise SettingError("TLS_KEY", key, "must not be encrypted") from None
    except ValueError:
        raise SettingError("TLS_KEY", key, "must hold a PEM private key") from None
    pair = KeyPair(private, chain)
    if private.public_key() != chain[0].public_key():
        raise SettingError(
            "TLS_KEY", key, f"must be the key of the first certificate in TLS_CERT={certificate}"
        )
    try:
        pair.context(())
    except (SSL.Error, ValueError) as error:
        raise SettingError(
            "TLS_CERT", certificate, f"OpenSSL refuses it: {openssl_words(error)}"
        ) from error
    return pair


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingError(setting, path, f"cannot be read: {error.strerror}") from error


class ServerCertificate:
    """The pair of certificate and key in force. A new one holds for new connections."""

    _log = Logger()

    def __init__(self, certificate: str, key: str, clock: IReactorTime) -> None:
        """Read the pair.

        Args:
            certificate: path of the certificate and those behind it, PEM.
            key: path of its private key, PEM.
            clock: tells whether it has expired.

        Raises:
            SettingError: the pair cannot be used.
        """
        self._clock = clock
        self.pair = load_key_pair(certificate, key)
        """Those in force."""
        self._creators: list[_ConnectionCreator] = []
        self._tell(certificate)

    def creator(self, protocols: Sequence[bytes] = ()) -> IOpenSSLServerConnectionCreator:
        """Make what begins the TLS of connections of one listener.

        Args:
            protocols: of ALPN, best first.
        """
        creator = _ConnectionCreator(tuple(protocols))
        creator.use(self.pair)
        self._creators.append(creator)
        return creator

    def reload(self, certificate: str, key: str) -> None:
        """Read the pair again. One that cannot be used is logged, and the former one stays.

        Args:
            certificate: as the constructor takes it.
            key: as the constructor takes it.
        """
        try:
            pair = load_key_pair(certificate, key)
        except SettingError as error:
            self._log.error("{error}; the former certificate stays in use", error=str(error))
            return
        if pair.chain == self.pair.chain:
            return
        self.pair = pair
        for creator in self._creators:
            creator.use(pair)
        self._tell(certificate)

    def _tell(self, path: str) -> None:
        expires = self.pair.expires
        left = (expires - datetime.fromtimestamp(self._clock.seconds(), UTC)).total_seconds()
        say = self._log.info if left > _WEEK else self._log.warn
        say(
            "TLS_CERT={path}: for {names}, {verb} {expires}",
            path=path,
            names=self.pair.names,
            verb="valid until" if left > 0 else "EXPIRED",
            expires=f"{expires:%Y-%m-%d %H:%M} UTC",
        )


@implementer(IOpenSSLServerConnectionCreator)
class _ConnectionCreator:
    """Begins the server's side of TLS connections by the pair that is in force."""

    def __init__(self, protocols: tuple[bytes, ...]) -> None:
        self._protocols = protocols

    def use(self, pair: KeyPair) -> None:
        """Take a pair, for the connections to come."""
        self._context: SSL.Context = pair.context(self._protocols)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802  (Twisted's name)
        """Make the TLS side of one connection."""
        return SSL.Connection(self._context, None)
