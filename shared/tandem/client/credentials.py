"""What a client shows to a service: a token, a certificate; and whom it trusts over TLS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import grpc

from tandem.addresses import is_loopback
from tandem.errors import TandemError

Metadata: TypeAlias = tuple[tuple[str, str], ...]

PREFIX: Final = "TANDEM_CLIENT_"


class InvalidCredentials(TandemError, ValueError):
    """They cannot be used. The message names every fault, and never holds a secret.

    Nothing was sent: once they are right, the same call may be made again.
    """

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "INVALID_CREDENTIALS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Files are named, and read for each new channel; a token file for each call.

    Without `ca`, `certificate` and `tls` a service is called in the clear.
    """

    token: str = field(default="", repr=False)
    """An API key, or a JSON Web Token."""

    token_file: str = ""
    """A file with the token, in place of `token`."""

    ca: str = ""
    """A PEM file: the CA that signs services' certificates. Unset: those of gRPC."""

    certificate: str = ""
    """A PEM file: the client's own certificate, and those between it and its CA."""

    key: str = ""
    """A PEM file: the key of that certificate."""

    tls: bool | None = None
    """True: over TLS, also without files. False: a token may cross a network in the clear."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Those of the variables that begin with `TANDEM_CLIENT_`; empty counts as not set.

        Raises:
            InvalidCredentials: they do not fit together.
        """
        given = {
            name: environ.get(f"{PREFIX}{name.upper()}", "").strip()
            for name in ("token", "token_file", "ca", "cert", "key", "tls")
        }
        return cls.of_texts(**given)

    @classmethod
    def of_texts(
        cls, *, token: str, token_file: str, ca: str, cert: str, key: str, tls: str
    ) -> Self:
        """As settings have them; `tls` is `true`, `off` or empty.

        Raises:
            InvalidCredentials: they do not fit together.
        """
        if tls not in SWITCH:
            raise InvalidCredentials(f"{PREFIX}TLS must be true or off, not {tls!r}")
        found = cls(
            token=token,
            token_file=token_file,
            ca=ca,
            certificate=cert,
            key=key,
            tls=SWITCH[tls],
        )
        found.check()
        return found

    def __post_init__(self) -> None:
        """Raises InvalidCredentials where they do not fit together."""
        faults = [
            fault
            for is_at_fault, fault in (
                (
                    bool(self.certificate) != bool(self.key),
                    f"{PREFIX}CERT and {PREFIX}KEY go together: set both, or none",
                ),
                (
                    bool(self.token and self.token_file),
                    f"{PREFIX}TOKEN and {PREFIX}TOKEN_FILE are both set: unset one",
                ),
                (
                    self.tls is False and bool(self.ca or self.certificate),
                    f"{PREFIX}TLS is off, and files for TLS are set: unset one",
                ),
            )
            if is_at_fault
        ]
        if faults:
            raise InvalidCredentials("; ".join(faults))

    def check(self) -> None:
        """Read their files once.

        Raises:
            InvalidCredentials: one cannot be used now.
        """
        self.channel_credentials()
        self.metadata()

    @property
    def is_over_tls(self) -> bool:
        return bool(self.tls or self.ca or self.certificate)

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """For a new channel; None: in the clear.

        Raises:
            InvalidCredentials: a file cannot be used.
        """
        if not self.is_over_tls:
            return None
        ca = _read("CA", self.ca)
        key, certificate = _read("KEY", self.key), _read("CERT", self.certificate)
        if ca is not None:
            _require_authority(ca)
        if certificate is not None:
            _require_pair(self.certificate, self.key)
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def metadata(self) -> Metadata:
        """What each call carries.

        Raises:
            InvalidCredentials: there is no token in the file, or what is none.
        """
        if self.token_file:
            raw = _read("TOKEN_FILE", self.token_file) or b""
            return _bearing("TOKEN_FILE", raw.decode("ascii", "replace").strip())
        return _bearing("TOKEN", self.token) if self.token else ()

    def require_safe(self, addresses: Sequence[str]) -> None:
        """Keep a token from networks where everybody could read it.

        Raises:
            InvalidCredentials: it would go to another machine in the clear.
        """
        shows_token = bool(self.token or self.token_file)
        if not shows_token or self.is_over_tls or self.tls is False:
            return
        if away := [each for each in addresses if not is_loopback(each)]:
            raise InvalidCredentials(
                f"a token would go to {away[0]} in the clear: set {PREFIX}CA or"
                f" {PREFIX}TLS=true, or {PREFIX}TLS=off where the network is safe"
            )


SWITCH: Final = {"": None, "true": True, "off": False}

NOTHING: Final = Credentials()


def _read(name: str, path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidCredentials(
            f"{PREFIX}{name}: cannot read {path}: {error.strerror}"
        ) from error


def _bearing(name: str, token: str) -> Metadata:
    if not token:
        raise InvalidCredentials(f"{PREFIX}{name} holds no token")
    # gRPC would end the call with the token in its message.
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidCredentials(f"{PREFIX}{name} holds more than one token")
    return (("authorization", f"Bearer {token}"),)


def _require_authority(pem: bytes) -> None:
    try:
        # Nothing at all would stand for the CAs of this machine.
        ssl.create_default_context(cadata=pem.decode("ascii", "replace") or "none")
    except (ssl.SSLError, ValueError):
        raise InvalidCredentials(
            f"{PREFIX}CA holds no certificate in PEM form"
        ) from None


def _require_pair(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # With a password at hand, an encrypted key does not ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="none")  # noqa: S106 - none
    except (OSError, ValueError):
        raise InvalidCredentials(
            f"{PREFIX}CERT and {PREFIX}KEY hold no certificate and its key, in PEM form"
            " and without a password"
        ) from None
