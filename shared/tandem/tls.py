"""TLS of a server: its certificate, renewed without a restart, and where it may be done without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from tandem.addresses import is_loopback
from tandem.settings import InvalidSettings, Settings
from tandem.watched import Watched

log = structlog.get_logger()

CERT: Final = "TANDEM_TLS_CERT"
KEY: Final = "TANDEM_TLS_KEY"
CLIENT_CA: Final = "TANDEM_TLS_CLIENT_CA"

Configuration = grpc.ServerCertificateConfiguration


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What the server listens with; None: in the clear.

    gRPC speaks TLS 1.2 and 1.3 only, and HTTP/2 by ALPN.

    Raises:
        InvalidSettings: the files cannot be used, or the address may not be in the
            clear. The message never holds what is in a file.
    """
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidSettings(f"{CERT} and {KEY} go together: set both, or none")
    if settings.tls_cert and settings.tls:
        raise InvalidSettings(f"TANDEM_TLS is off, and {CERT} is set: unset one")
    if settings.tls_cert:
        return _credentials(settings)
    if settings.tls_client_ca:
        raise InvalidSettings(f"{CLIENT_CA} needs {CERT} and {KEY}")
    if not settings.tls and not is_loopback(settings.listen):
        raise InvalidSettings(
            f"{settings.listen} is not loopback: set {CERT} and {KEY}, or"
            " TANDEM_TLS=off to serve in the clear"
        )
    return None


def _credentials(settings: Settings) -> grpc.ServerCredentials:
    named = (
        (CERT, settings.tls_cert),
        (KEY, settings.tls_key),
        (CLIENT_CA, settings.tls_client_ca),
    )
    files = {name: Path(path) for name, path in named if path}
    watched = Watched(
        tuple(files.values()), lambda: _read(files), on_fault=_not_taken_up
    )
    return grpc.dynamic_ssl_server_credentials(
        watched.get(),
        _changes(watched),  # type: ignore[arg-type] # None: no change; the stubs know it not
        require_client_authentication=CLIENT_CA in files,
    )


def _changes(watched: Watched[Configuration]) -> Callable[[], Configuration | None]:
    """What gRPC asks for, on a thread of its own, before each handshake."""
    served = watched.get()

    def fetch() -> Configuration | None:
        nonlocal served
        current = watched.get()
        if current is served:
            return None
        served = current
        log.info("certificate renewed")
        return current

    return fetch


def _not_taken_up(fault: ValueError) -> None:
    log.warning("certificate not renewed", fault=str(fault))


def _read(files: dict[str, Path]) -> Configuration:
    pems = {name: _bytes(name, path) for name, path in files.items()}
    chain = _certificates(CERT, pems[CERT])
    if _public(_key(pems[KEY])) != _public(chain[0]):
        raise InvalidSettings(f"{KEY} is not the key of the first one in {CERT}")
    _warn_of_age(chain[0])
    if CLIENT_CA in pems:
        _certificates(CLIENT_CA, pems[CLIENT_CA])
    return grpc.ssl_server_certificate_configuration(
        [(pems[KEY], pems[CERT])], root_certificates=pems.get(CLIENT_CA)
    )


def _bytes(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            f"{name}: cannot read {path}: {error.strerror}"
        ) from error


def _certificates(name: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidSettings(f"{name} holds no certificate in PEM form") from None


def _key(pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise InvalidSettings(f"{KEY} is encrypted: give it without") from None
    except ValueError:
        raise InvalidSettings(f"{KEY} holds no private key in PEM form") from None


def _public(of: PrivateKeyTypes | x509.Certificate) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _warn_of_age(certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        ended = certificate.not_valid_after_utc.isoformat()
        log.warning("certificate expired", setting=CERT, ended=ended)
    if now < certificate.not_valid_before_utc:
        begins = certificate.not_valid_before_utc.isoformat()
        log.warning("certificate not valid yet", setting=CERT, begins=begins)
