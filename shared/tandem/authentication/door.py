"""The door of a server: whoever calls is named here, or goes no further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import grpc
from structlog.contextvars import bind_contextvars

from tandem.access import Caller
from tandem.authentication.certificates import expiry, identities
from tandem.authentication.presenting import Authenticator, Presented
from tandem.errors import Unauthenticated

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

REFUSAL: Final = (
    "this call needs valid credentials: send the metadata"
    " `authorization: Bearer TOKEN-OR-KEY`, or a client certificate"
)
"""The same for all who are refused. Why, stands in the log."""

BEARER: Final = "bearer "


class Door:
    """Asks each kind of credentials in turn."""

    def __init__(
        self, authenticators: Sequence[Authenticator], *, certificates: bool = False
    ) -> None:
        """A door for these kinds.

        Args:
            authenticators: asked in this order; the first that answers decides.
            certificates: whether to look at client certificates, which costs.
        """
        self._authenticators = tuple(authenticators)
        self._certificates = certificates

    async def admit(self, context: Context) -> Caller:
        """Who calls.

        Raises:
            Unauthenticated: nobody who is known, whatever was presented.
        """
        try:
            presented = _presented(context, certificates=self._certificates)
            for each in self._authenticators:
                caller = await each.authenticate(presented)
                if caller is not None:
                    return caller
        except Unauthenticated as refused:
            why = str(refused)
        else:
            why = "no credentials of a kind that is accepted"
        bind_contextvars(why=why)
        raise Unauthenticated(REFUSAL)


def _presented(context: Context, *, certificates: bool) -> Presented:
    bearer = _bearer(context)
    if not certificates:
        return Presented(bearer)
    shown = context.auth_context() or {}
    ends = next((expiry(pem) for pem in shown.get("x509_pem_cert", ())), None)
    return Presented(bearer, identities(shown), ends)


def _bearer(context: Context) -> str:
    # A proxy and this server might each look at another one of two.
    found = [v for k, v in context.invocation_metadata() or () if k == "authorization"]
    if len(found) > 1:
        raise Unauthenticated("more than one authorization")
    text = str(found[0]) if found else ""
    return text[len(BEARER) :].strip() if text[:7].lower() == BEARER else ""
