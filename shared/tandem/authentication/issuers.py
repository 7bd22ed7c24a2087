"""The authenticator of web tokens that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from tandem.authentication.key_files import KeyFile
from tandem.authentication.key_set import InvalidKeySet
from tandem.authentication.key_urls import KeyUrl
from tandem.authentication.web_tokens import KeySource, WebTokens
from tandem.settings import InvalidSettings, Settings


def web_tokens(settings: Settings) -> WebTokens:
    """Knows callers by the tokens of the issuer in the settings.

    Raises:
        InvalidSettings: something is not set, or the file has no keys.
    """
    needed = {
        "TANDEM_JWT_ISSUER": settings.jwt_issuer,
        "TANDEM_JWT_AUDIENCE": settings.jwt_audience,
        "TANDEM_JWT_JWKS": settings.jwt_jwks,
    }
    if missing := [name for name, value in needed.items() if not value]:
        raise InvalidSettings(
            f"{', '.join(missing)} must be set, since TANDEM_AUTH names jwt"
        )
    return WebTokens(
        _source(settings.jwt_jwks),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=settings.jwt_algorithms,
        scope_claim=settings.jwt_scope_claim,
    )


def _source(place: str) -> KeySource:
    if "://" in place:
        return KeyUrl(place)
    try:
        return KeyFile(Path(place))
    except InvalidKeySet as fault:
        raise InvalidSettings(f"TANDEM_JWT_JWKS names {place}: {fault}") from fault
