"""The end of a blocking stream that says nothing for too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final, Generic, Self, TypeVar

import grpc

from tandem.client.failures import failure_of, silent
from tandem.errors import TandemError

Message = TypeVar("Message")

LOOKS: Final = 4
"""In one limit: how exactly it is kept."""


class Watchdog(Generic[Message]):
    """Hands on a stream's messages, and cancels it when the next one is overdue.

    Reading a blocking stream takes no limit, hence the thread. The time that the
    reader of the messages takes for each does not count.
    """

    def __init__(self, call: Any, *, silence: float) -> None:
        self._call = call
        self._silence = silence
        self._waiting_since: float | None = None
        self._bit = False
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="tandem-watchdog", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._call.cancel()
        self._thread.join()

    def messages(self) -> Iterator[Message]:
        """Those of the stream, until it ends. Raises what the stream raises."""
        while True:
            self._waiting_since = time.monotonic()
            try:
                message = next(self._call)
            except StopIteration:
                return
            finally:
                self._waiting_since = None
            yield message

    def failure_of(self, error: grpc.RpcError) -> TandemError:
        """Why the stream broke."""
        return silent(self._silence) if self._bit else failure_of(error)

    def _watch(self) -> None:
        while not self._closed.wait(self._silence / LOOKS):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self._silence:
                self._bit = True
                self._call.cancel()
                return
