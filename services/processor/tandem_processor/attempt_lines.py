"""What names the task on each line that is logged about an attempt."""

from __future__ import annotations

from functools import partial

import structlog

from tandem.logs import SUBJECT
from tandem.outcomes import Claimed

log = structlog.get_logger()


def bind_ids(claimed: Claimed) -> None:
    """Every line that is logged from here on names the task."""
    SUBJECT.set(partial(ids, claimed))


def line(claimed: Claimed) -> structlog.stdlib.BoundLogger:
    """For a line of the processor's own about this task."""
    bound: structlog.stdlib.BoundLogger = log.bind(**ids(claimed))
    return bound


def ids(claimed: Claimed) -> dict[str, str]:
    return {"task_id": str(claimed.task_id), "request_id": str(claimed.request_id)}


def handler_log(type_: str, attempt: int) -> structlog.stdlib.BoundLogger:
    """What a handler logs with."""
    bound: structlog.stdlib.BoundLogger = log.bind(type=type_, attempt=attempt)
    return bound
