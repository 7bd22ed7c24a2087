"""Sends what an outbox holds to the creator, from a program without an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from tandem.client import Client, Created
from tandem.client.repeats import Wait
from tandem.errors import TandemError
from tandem.outbox.connections import Connection
from tandem.outbox.notes import tell_failure
from tandem.outbox.outbox import Outbox
from tandem.outbox.rounds import Relayed, Round, checked_batch, single
from tandem.v1 import creator_pb2

BATCH: Final = 100
"""Rows of one round."""

POLL: Final = 1.0
"""Seconds between looks, where nobody calls `wake`."""

WITHIN: Final = 10.0
"""Seconds for one call: on Postgres a transaction stays open meanwhile."""


class Relay:
    """Creates the tasks of recorded rows, and strikes the rows off once they are there.

    Several may relay one outbox. It must have a connection of its own.
    """

    def __init__(
        self,
        outbox: Outbox,
        connect: Callable[[], Connection],
        client: Client,
        *,
        batch: int = BATCH,
        poll: float = POLL,
        within: float = WITHIN,
    ) -> None:
        """`connect` opens a connection that begins transactions by itself.

        `batch` is in rows, 1 to 1,000; `poll` and `within` are in seconds.

        Raises:
            ValueError: `batch` is out of its limits.
        """
        self._outbox = outbox
        self._connect = connect
        self._client = client
        self._batch = checked_batch(batch)
        self._poll = poll
        self._within = within
        self._wait = Wait()
        self._bell = threading.Event()
        self._stopped = threading.Event()

    def run_once(self) -> Relayed:
        """Relay one batch of rows, oldest first; what became of them.

        Raises:
            TandemError: the creator is away, or does not know the caller. What was
                not made stays for the next round.
            Exception: the driver's.
        """
        with closing(self._connect()) as connection:
            return self._relay_on(connection)

    def run(self) -> None:
        """Relay until `stop`; what fails is logged, and tried again after a pause."""
        while not self._stopped.is_set():
            failure = self._relay_until_failure()
            self._stopped.wait(self._wait.after(failure))

    def wake(self) -> None:
        """Look now: call it after a commit that recorded something. From any thread."""
        self._bell.set()

    def stop(self) -> None:
        """End `run` after its round. From any thread."""
        self._stopped.set()
        self._bell.set()

    def _relay_until_failure(self) -> Exception | None:
        """None: the failure was that of rows, or it is to stop."""
        try:
            with closing(self._connect()) as connection:
                while self._goes_on():
                    relayed = self._relay_on(connection)
                    if relayed.is_slowed:
                        break
                    self._wait = Wait()
                    if not relayed.is_full:
                        self._bell.wait(self._poll)
        except Exception as failure:  # noqa: BLE001 - of any driver
            tell_failure(failure)
            return failure
        return None

    def _goes_on(self) -> bool:
        # First: whoever rings after this is heard.
        self._bell.clear()
        return not self._stopped.is_set()

    def _relay_on(self, connection: Connection) -> Relayed:
        rows = self._outbox.read(connection, limit=self._batch)
        if not self._outbox.holds_rows:
            # A snapshot kept meanwhile could not be written from in SQLite.
            connection.commit()
        round_ = Round(rows, limit=self._batch)
        for requests in round_.sends():
            try:
                round_.made(requests, self._create(requests))
            except TandemError as failure:
                round_.failed(requests, failure)
        for sql, parameters in round_.writes():
            self._outbox.run(connection, sql, parameters)
        connection.commit()
        return round_.ended()

    def _create(
        self, requests: Sequence[creator_pb2.CreateTaskRequest]
    ) -> Sequence[Created]:
        if len(requests) > 1:
            return self._client.create_batch(requests, within=self._within)
        spec, options = single(requests[0])
        return [self._client.create(spec, within=self._within, **options)]
