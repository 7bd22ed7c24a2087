"""Which kinds of credentials a service accepts, and the door made of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import asyncpg
import structlog

from tandem.addresses import is_loopback
from tandem.authentication.certificates import Certificates
from tandem.authentication.door import Door
from tandem.authentication.issuers import web_tokens
from tandem.authentication.key_ring import opened_key_ring
from tandem.authentication.presenting import Authenticator
from tandem.settings import AUTH_KINDS, InvalidSettings, Settings

log = structlog.get_logger()

Opener: TypeAlias = Callable[
    [Settings, asyncpg.Pool], AbstractAsyncContextManager[Authenticator]
]


@asynccontextmanager
async def _certificates(
    settings: Settings, _pool: asyncpg.Pool
) -> AsyncIterator[Authenticator]:
    if not settings.tls_client_ca or not settings.certificate_callers:
        raise InvalidSettings(
            "TANDEM_AUTH names certificate: set TANDEM_TLS_CLIENT_CA and"
            " TANDEM_CERTIFICATE_CALLERS"
        )
    yield Certificates(Path(settings.certificate_callers))


@asynccontextmanager
async def _web_tokens(
    settings: Settings, _pool: asyncpg.Pool
) -> AsyncIterator[Authenticator]:
    yield web_tokens(settings)


OPENERS: Final[Mapping[str, Opener]] = MappingProxyType(
    {"key": opened_key_ring, "jwt": _web_tokens, "certificate": _certificates}
)
"""What makes an authenticator of each kind that TANDEM_AUTH may name."""


def require_choice(settings: Settings) -> None:
    """Let nobody listen to a network for everybody without having said so.

    Raises:
        InvalidSettings: TANDEM_AUTH is not set, and the address is not loopback.
    """
    if settings.auth is not None:
        return
    if not is_loopback(settings.listen):
        raise InvalidSettings(
            f"TANDEM_AUTH is not set, and {settings.listen} is not loopback: set"
            f" TANDEM_AUTH to the credentials to ask for ({', '.join(AUTH_KINDS)}),"
            " or to off, which lets everybody who reaches it do everything"
        )
    log.warning("authentication is off", listen=settings.listen, setting="TANDEM_AUTH")


@asynccontextmanager
async def opened_door(
    settings: Settings, pool: asyncpg.Pool
) -> AsyncIterator[Door | None]:
    """The door of a service, for the length of a block; None: everybody may enter."""
    if not settings.auth:
        yield None
        return
    async with AsyncExitStack() as stack:
        authenticators = [
            await stack.enter_async_context(OPENERS[kind](settings, pool))
            for kind in settings.auth
        ]
        yield Door(authenticators, certificates="certificate" in settings.auth)
