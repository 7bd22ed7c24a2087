"""What a caller presents, and what each kind of credentials makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tandem.access import Caller


@dataclass(frozen=True, slots=True)
class Presented:
    """The credentials of one call. Never logged, and not shown by `repr`."""

    bearer: str = ""
    """What follows `Bearer ` in the metadata `authorization`; empty where there is none."""

    identities: tuple[str, ...] = ()
    """Names in a client certificate that TLS has verified: URIs, then DNS names; where there
    is neither, the common name. Empty without one."""

    ends: datetime | None = None
    """When that certificate ends."""

    def __repr__(self) -> str:
        return "Presented(...)"


class Authenticator(Protocol):
    """One kind of credentials."""

    async def authenticate(self, presented: Presented) -> Caller | None:
        """The caller that these credentials prove; None where they are of another kind.

        Raises:
            Unauthenticated: they are of this kind, and are not valid now.
        """
