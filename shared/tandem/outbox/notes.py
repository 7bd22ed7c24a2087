"""What a relay tells its program's log, under the name `tandem.outbox`."""

from __future__ import annotations

import logging

from tandem.errors import TandemError

log = logging.getLogger("tandem.outbox")


def tell_failure(failure: Exception) -> None:
    """A round did not come to its end."""
    if isinstance(failure, TandemError):
        log.warning("the outbox waits for the creator: %s", failure)
    else:
        log.error("the outbox could not be relayed", exc_info=failure)


def tell_set_aside(request_id: str, error: str) -> None:
    """A row is not sent again by itself."""
    log.error("row %s of the outbox is set aside: %s", request_id, error)


def tell_failed(request_id: str, error: str) -> None:
    """A row is sent again later."""
    log.warning("row %s of the outbox is tried again: %s", request_id, error)
