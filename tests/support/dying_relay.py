"""A relay that dies by SIGKILL once the creator has answered, before it writes anything."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from typing import Any

import psycopg

from tandem.client import Client, Created
from tandem.outbox import Outbox, Relay


class Dying(Client):
    """It tells what it was answered, and dies."""

    def create(self, *args: Any, **options: Any) -> Created:
        created = super().create(*args, **options)
        print(created.outcome, created.task.task_id, flush=True)  # noqa: T201
        os.kill(os.getpid(), signal.SIGKILL)
        return created


def main(kind: str, shop: str, table: str, address: str) -> None:
    with Dying(address) as client:
        if kind == "sqlite3":
            outbox = Outbox("sqlite", table=table)
            Relay(outbox, lambda: sqlite3.connect(shop), client).run_once()
        else:
            outbox = Outbox("postgres", table=table)
            Relay(outbox, lambda: psycopg.connect(shop), client).run_once()


if __name__ == "__main__":
    main(*sys.argv[1:])
