"""One batch of rows on its way: what to send next, and what to write. Nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from tandem import limits
from tandem.client import Created, Creating
from tandem.client.batches import split
from tandem.errors import TandemError
from tandem.outbox import statements
from tandem.outbox.notes import tell_failed, tell_set_aside
from tandem.outbox.recorded import Recorded
from tandem.v1 import creator_pb2, task_pb2

MAX_ATTEMPTS: Final = 20
"""Then a row is set aside that fails for a reason that may be its own, or the service's."""

# The service said no to this very request, and would again.
_REFUSED: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)

# Nothing that any row could help: all of them would fail alike.
_AWAY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)

_TOO_LONG: Final = "larger than max"
"""What gRPC says, without any reason of Tandem's, of a message above the limit."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A row that made no task, and why."""

    request_id: str
    error: str


@dataclass(slots=True)
class Relayed:
    """What became of the rows of one round."""

    created: list[Created] = field(default_factory=list)
    """Their tasks are there, and the rows are gone. Not each has its payload."""

    set_aside: list[Failed] = field(default_factory=list)
    """They stay, with their error, and are not sent again."""

    failed: list[Failed] = field(default_factory=list)
    """They are sent again, behind the others."""

    is_full: bool = False
    """It took as many rows as it may: there may be more."""

    @property
    def is_slowed(self) -> bool:
        """Whether the rows that failed are due next, and would fail again at once."""
        return bool(self.failed) and not (self.is_full and self.created)


def checked_batch(batch: int) -> int:
    """Rows of one round.

    Raises:
        ValueError: more or fewer than one call may create.
    """
    if not 1 <= batch <= limits.MAX_BATCH:
        raise ValueError(f"batch must be from 1 to {limits.MAX_BATCH:,}, not {batch}")
    return batch


def single(
    request: creator_pb2.CreateTaskRequest,
) -> tuple[task_pb2.TaskSpec, Creating]:
    """The spec and the options of a create that goes alone."""
    rejects = creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT
    return request.spec, Creating(
        request_id=request.request_id,
        reject_existing=request.external_id_policy == rejects,
    )


class Round:
    """Sends what it is given, all or nothing, and halves what is refused."""

    def __init__(self, rows: Sequence[Recorded], *, limit: int) -> None:
        self._relayed = Relayed(is_full=len(rows) >= limit)
        self._failure: TandemError | None = None
        self._struck_off: list[Recorded] = []
        self._rows: dict[str, Recorded] = {}
        creates = list(self._readable(rows))
        self._todo = deque(batch.requests for batch in split(creates))

    def _readable(
        self, rows: Sequence[Recorded]
    ) -> Iterator[creator_pb2.CreateTaskRequest]:
        for row in rows:
            try:
                request = row.request()
            except ValueError as error:
                self._rows[row.request_id] = row
                self._set_aside(row.request_id, str(error))
            else:
                self._rows[request.request_id] = row
                yield request

    def sends(self) -> Iterator[Sequence[creator_pb2.CreateTaskRequest]]:
        """Requests to be sent together; tell what became of each before the next."""
        while self._todo:
            yield self._todo.popleft()

    def made(
        self,
        sent: Sequence[creator_pb2.CreateTaskRequest],
        created: Sequence[Created],
    ) -> None:
        """The last ones have their tasks."""
        self._relayed.created += created
        self._struck_off += [self._rows[request.request_id] for request in sent]

    def failed(
        self, sent: Sequence[creator_pb2.CreateTaskRequest], failure: TandemError
    ) -> None:
        """The last ones were not made."""
        if _is_away(failure):
            self._failure = failure
            self._todo.clear()
        elif len(sent) > 1:
            half = len(sent) // 2
            self._todo.extendleft([list(sent[half:]), list(sent[:half])])
        else:
            self._judge(sent[0].request_id, failure)

    def _judge(self, request_id: str, failure: TandemError) -> None:
        error = f"{failure.reason or failure.code.name}: {failure}"
        is_last = self._rows[request_id].attempts + 1 >= MAX_ATTEMPTS
        if _is_refused(failure) or is_last:
            self._set_aside(request_id, error)
        else:
            self._relayed.failed.append(Failed(request_id, error))

    def _set_aside(self, request_id: str, error: str) -> None:
        # No database keeps NUL in a text.
        shown = error.replace("\0", "\\0")
        self._relayed.set_aside.append(Failed(request_id, shown))

    def writes(self) -> Iterator[tuple[str, Sequence[Sequence[Any]]]]:
        """Statements, and the parameters with which each is to be run."""
        key = self._key
        set_aside, failed = self._relayed.set_aside, self._relayed.failed
        yield statements.STRIKE_OFF, [(row.key,) for row in self._struck_off]
        yield statements.SET_ASIDE, [(f.error, key(f.request_id)) for f in set_aside]
        yield statements.COUNT_ATTEMPT, [(key(f.request_id),) for f in failed]

    def ended(self) -> Relayed:
        """What became of the rows, once it is written.

        Raises:
            TandemError: why the round was over before its end.
        """
        for aside in self._relayed.set_aside:
            tell_set_aside(aside.request_id, aside.error)
        for failed in self._relayed.failed:
            tell_failed(failed.request_id, failed.error)
        if self._failure:
            raise self._failure
        return self._relayed

    def _key(self, request_id: str) -> str:
        return self._rows[request_id].key


def _is_away(failure: TandemError) -> bool:
    # The same code with no reason may be of gRPC, and of this one message's length.
    is_busy = failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED and failure.reason
    return failure.code in _AWAY or bool(is_busy)


def _is_refused(failure: TandemError) -> bool:
    is_exhausted = failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    return failure.code in _REFUSED or (is_exhausted and _TOO_LONG in str(failure))
