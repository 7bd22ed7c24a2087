"""Blocking calls, sent again for as long as that is safe and makes sense."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import grpc

from tandem import traceparents
from tandem.client.failures import failure_of
from tandem.client.repeats import Deadlines, Endurance, Repeats
from tandem.client.watchdog import Watchdog

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Clock(Protocol):
    """What the waits between tries go by."""

    def time(self) -> float: ...

    def sleep_for(self, duration: float) -> None: ...


class SystemClock:
    """The time of this machine."""

    def time(self) -> float:
        return time.monotonic()

    def sleep_for(self, duration: float) -> None:
        time.sleep(duration)


class Calls:
    """Makes calls that are safe to repeat. What fails for good is a TandemError."""

    def __init__(self, deadlines: Deadlines, clock: Clock) -> None:
        self._deadlines = deadlines
        self._clock = clock

    def answer(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        limit: float,
        traceparent: str = "",
    ) -> Answer:
        """The one answer, within `limit` seconds."""
        metadata = traceparents.metadata(traceparent)
        now = self._clock.time
        repeats = Repeats(limit, single=self._deadlines.single, now=now())
        while True:
            try:
                left = repeats.next_limit(now())
                return method(request, timeout=left, metadata=metadata)
            except grpc.RpcError as error:
                pause = repeats.pause(failure_of(error), now=now())
            self._clock.sleep_for(pause)

    def frames(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Answer],
        request: Request,
        limit: float | None,
    ) -> Iterator[Answer]:
        """A stream's messages, over as many openings as it takes."""
        metadata = traceparents.metadata()
        now = self._clock.time
        endurance = Endurance(limit, outage=self._deadlines.outage, now=now())
        while True:
            left = endurance.time_left(now())
            call: Any = method(request, timeout=left, metadata=metadata)
            with Watchdog[Answer](call, silence=self._deadlines.silence) as watchdog:
                try:
                    for message in watchdog.messages():
                        endurance.heard()
                        yield message
                except grpc.RpcError as error:
                    pause = endurance.pause(watchdog.failure_of(error), now=now())
                else:
                    return
            self._clock.sleep_for(pause)
