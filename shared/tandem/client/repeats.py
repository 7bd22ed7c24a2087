"""When a call is sent again, and when it is given up. Nothing here waits or sends.

Failures are raised without gRPC's own error: it says the same, over thirty lines.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import grpc

from tandem import limits
from tandem.errors import TandemError

FIRST_WAIT: Final = 0.5
"""Seconds, once gRPC has spent its own five tries of about one and a half."""

LONGEST_WAIT: Final = 5.0
"""Seconds, however many tries were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. Those of a method hold for the whole call, repeats included."""

    create: float = 30.0
    create_many: float = 60.0
    """For each batch of a list."""

    lookup: float = 15.0
    get: float = 15.0
    list: float = 15.0
    """For each page."""

    change: float = 15.0
    """Of `cancel`, `retry`, `pause_queue` and `resume_queue`."""

    stats: float = 30.0
    """Of millions of tasks the count itself takes seconds."""

    single: float = 10.0
    """For one try: what has no answer by then is sent again."""

    silence: float = 2 * limits.FRAME_SECONDS
    """Without a frame for so long a stream is dead, and is opened again."""

    outage: float = 300.0
    """A stream that nobody serves for so long is given up."""


class Wait:
    """Exponential, with jitter: callers that failed together do not return together."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def after(self, failure: Exception | None) -> float:
        """Seconds until the next try; never before the service asked for it."""
        wait = random.uniform(self._next / 2, self._next)  # noqa: S311 - no secret
        self._next = min(self._next * 2, LONGEST_WAIT)
        asked = failure.retry_after if isinstance(failure, TandemError) else None
        return max(wait, asked or 0)


class Repeats:
    """The tries of one call with one answer, which is safe to repeat."""

    def __init__(self, limit: float, *, single: float, now: float) -> None:
        self._end = now + limit
        self._single = single
        self._wait = Wait()
        self._told: TandemError | None = None

    def next_limit(self, now: float) -> float:
        """Seconds for the try that begins now."""
        return max(0.0, min(self._single, self._end - now))

    def pause(self, failure: TandemError, *, now: float) -> float:
        """Seconds until the next try.

        Raises:
            TandemError: what is to be raised, since there is none.
        """
        if failure.code not in _AGAIN:
            raise failure from None
        if failure.code is grpc.StatusCode.UNAVAILABLE:
            self._told = failure
        wait = self._wait.after(failure)
        if now + wait >= self._end:
            # That the time is over tells less than why no try before it succeeded.
            raise self._told or failure from None
        return wait


class Endurance:
    """The openings of one stream, which goes on where it broke."""

    def __init__(self, limit: float | None, *, outage: float, now: float) -> None:
        self._end = None if limit is None else now + limit
        self._outage = outage
        self._failing_since: float | None = None
        self._wait = Wait()

    def time_left(self, now: float) -> float | None:
        """Seconds for the opening that begins now; None: as long as it lasts."""
        return None if self._end is None else max(0.0, self._end - now)

    def heard(self) -> None:
        """A frame came."""
        self._failing_since = None
        self._wait = Wait()

    def pause(self, failure: TandemError, *, now: float) -> float:
        """Seconds until it is opened again.

        Raises:
            TandemError: the failure, since it stands.
        """
        if failure.code not in _AWAY:
            raise failure from None
        if self._failing_since is None:
            self._failing_since = now
        wait = self._wait.after(failure)
        if self._is_over(self._failing_since, now + wait):
            raise failure from None
        return wait

    def _is_over(self, failing_since: float, now: float) -> bool:
        past_end = self._end is not None and now >= self._end
        return past_end or now >= failing_since + self._outage


_AWAY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        # What gRPC answers for a server that stops before it has looked at the call.
        grpc.StatusCode.CANCELLED,
    }
)

# Not known whether it was done; the same id makes a repeat safe.
_AGAIN: Final = _AWAY | {grpc.StatusCode.DEADLINE_EXCEEDED}
