"""Each failure that is timed: what breaks, and how soon everything goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial

import grpc

from benchmarks import messages, recovery
from benchmarks import process_sql as sql
from benchmarks.breakable import Path, cutter_to, path_to
from benchmarks.children import Server, creator
from benchmarks.drains import Unfinished
from benchmarks.filling import connected
from benchmarks.loads.shared import stubs
from benchmarks.pair import Pair, Place, pair, processor
from benchmarks.waits import longest
from tandem.client import AsyncClient, Outcome, Spec
from tandem.postgres.roles import CREATOR
from tests.support.cutter import Cutter
from tests.support.standby import Servers, primary_and_standby

LIMIT = 60.0

DEATHS = 3
"""Of processors, until the task that they ran is taken for the cause."""

LOOK_AGAIN = 0.02

ATTEMPT = 1.0
"""Seconds that the attempt of a stuck handler may take."""


def undisturbed(place: Place, database: str) -> float:
    """What the others are to be held against."""
    with pair(place, database) as both:
        return _longest(place, database, both.creator, _nothing, seconds=3)


def killed_processor(place: Place, database: str) -> float:
    """Past the dead-after time."""
    return recovery.killed_processor(place, database).rate


def stopped_processor(place: Place, database: str) -> float:
    """Past the grace."""
    return recovery.stopped_processor(place, database).rate


def restarted_creator(place: Place, database: str) -> float:
    """The longest call of clients that repeat; none may fail."""
    outcomes = recovery.killed_creator(place, database, seed=time.time_ns()).outcomes
    assert not any(name.startswith("FAILED") for name in outcomes), outcomes
    return outcomes["longest ms"] / 1000


def lost_creator(place: Place, database: str, *, number: signal.Signals) -> float:
    """The processor follows the one that is struck, and callers the other one."""
    with _two_creators(place, database) as (first, second):
        try:
            return _longest(
                place,
                database,
                second,
                lambda: os.kill(first.pid, number),
                seconds=12,
            )
        finally:
            _let_go_on(first)


def silent_processor(place: Place, database: str) -> float:
    """One of two is stopped, and stays connected."""
    with (
        pair(place, database) as both,
        processor(place, database, both.creator.address, name="other"),
    ):
        victim = both.processor
        try:
            return _longest(
                place,
                database,
                both.creator,
                lambda: os.kill(victim.pid, signal.SIGSTOP),
                seconds=12,
            )
        finally:
            _let_go_on(victim)


def broken_path(
    place: Place, database: str, *, break_: Callable[[Path], None], alone: bool
) -> float:
    """Between one of two processors, or the only one, and their creator."""
    login = place.databases.login(CREATOR, database)
    with (
        creator(login, place.folder, name="creator-path") as made,
        path_to(made.address) as path,
        processor(place, database, path.address, name="behind"),
    ):
        measure = partial(_longest, place, database, made, lambda: break_(path))
        if alone:
            return measure(seconds=5)
        with processor(place, database, made.address, name="beside"):
            return measure(seconds=12)


def killed_postgres(place: Place, database: str) -> float:
    """From its return to the end of a task that is created then."""
    with pair(place, database) as both:
        place.databases.kill()
        place.databases.start()
        returned = time.monotonic()
        asyncio.run(_run_one(both))
        return time.monotonic() - returned


def silent_bell(place: Place, database: str) -> float:
    """Tasks come from another creator, which cannot ring."""
    with _two_creators(place, database) as (_, second):
        return _longest(
            place,
            database,
            second,
            lambda: asyncio.run(_silence(place.databases.url(database))),
            seconds=5,
        )


def stuck_handler(place: Place, database: str) -> float:
    """Past the timeout of its attempt, until the task is final."""
    with pair(place, database) as both:
        return asyncio.run(_run_stuck(place, database, both)) - ATTEMPT


def locked_table(place: Place, database: str) -> float:
    """From a create to its refusal, while somebody locks the table."""
    login = place.databases.login(CREATOR, database)
    with creator(login, place.folder, name="creator-lock") as made:
        return asyncio.run(_create_locked(place.databases.url(database), made.address))


def lost_commit(place: Place, database: str) -> float:
    """Of a client that repeats: from its create to the answer, the first one lost."""
    login = place.databases.login(CREATOR, database)
    with (
        cutter_to(login) as cutter,
        creator(cutter.url, place.folder, name="creator-commit") as made,
    ):
        return asyncio.run(_create_unheard(made.address, cutter))


def poison_task(place: Place, database: str) -> float:
    """From its create to its end: none of those that it kills is started again."""
    lease = {
        "heartbeat": str(recovery.HEARTBEAT),
        "dead_after": str(recovery.DEAD_AFTER),
    }
    login = place.databases.login(CREATOR, database)
    with (
        creator(login, place.folder, name="creator-poison") as made,
        ExitStack() as stack,
    ):
        for number in range(DEATHS + 1):
            name = f"victim-{number}"
            stack.enter_context(
                processor(place, database, made.address, name=name, **lease)
            )
        # The last may judge once its own heart was steady for so long.
        time.sleep(recovery.DEAD_AFTER + recovery.HEARTBEAT)
        url = place.databases.url(database)
        return asyncio.run(_run_poison(url, made.address))


def failed_over(place: Place, database: str) -> float:
    """From the end of the primary to the first create at its standby, promoted at once."""
    opened = primary_and_standby()
    with asyncio.Runner() as runner:
        servers = runner.run(opened.__aenter__())
        try:
            url = servers.database.creator_url
            with creator(url, place.folder, name="creator-failover") as made:
                return runner.run(_fail_over(servers, made.address))
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _nothing() -> None:
    """Break nothing."""


def _longest(
    place: Place,
    database: str,
    made: Server,
    disturb: Callable[[], object],
    *,
    seconds: float,
) -> float:
    url = place.databases.url(database)
    return longest(url, made.address, disturb, seconds=seconds)


@contextmanager
def _two_creators(place: Place, database: str) -> Iterator[tuple[Server, Server]]:
    """The first one is followed by a processor: the other was not there yet."""
    login, later = place.databases.login(CREATOR, database), recovery.free_address()
    with creator(login, place.folder, name="creator-1") as first:
        both = f"{first.address},{later}"
        with (
            processor(place, database, both),
            creator(login, place.folder, name="creator-2", listen=later) as second,
        ):
            yield first, second


def _let_go_on(server: Server) -> None:
    """What is stopped cannot end; what is dead is gone."""
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGCONT)


async def _run_one(both: Pair) -> None:
    async with AsyncClient(both.creator.address, both.processor.address) as client:
        spec = Spec(project=messages.PROJECT, type="blog_post")
        created = await client.create(spec, within=LIMIT)
        async for _ in client.watch(created.task.task_id, within=LIMIT):
            pass


async def _silence(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute(sql.SILENCE)


async def _run_stuck(place: Place, database: str, both: Pair) -> float:
    spec = Spec(
        project=messages.PROJECT,
        type="held",
        max_attempts=1,
        attempt_timeout=timedelta(seconds=ATTEMPT),
    )
    async with AsyncClient(both.creator.address, both.processor.address) as client:
        created = await client.create(spec)
        async for _ in client.watch(created.task.task_id, within=LIMIT):
            pass
    async with connected(place.databases.url(database)) as connection:
        found: float = await connection.fetchval(sql.READ_RUN, created.task.task_id)
    return found


async def _create_locked(url: str, address: str) -> float:
    async with connected(url) as connection, stubs(address, 1) as (stub,):
        await stub.CreateTask(next(messages.requests(1)))
        async with connection.transaction():
            await connection.execute(sql.LOCK)
            begun = time.monotonic()
            try:
                await stub.CreateTask(next(messages.requests(2)), timeout=LIMIT)
            except grpc.aio.AioRpcError as refusal:
                if refusal.code() is grpc.StatusCode.UNAVAILABLE:
                    return time.monotonic() - begun
                raise
    raise AssertionError("a create passed the lock")


async def _create_unheard(address: str, cutter: Cutter) -> float:
    spec = Spec(project=messages.PROJECT, type="blog_post")
    async with AsyncClient(address) as client:
        await client.create(spec)
        cutter.cut_next_create()
        begun = time.monotonic()
        created = await client.create(spec, within=LIMIT)
        seconds = time.monotonic() - begun
    assert (created.outcome, cutter.cuts) == (Outcome.REPLAYED, 1), created.outcome
    return seconds


async def _run_poison(url: str, address: str) -> float:
    spec = Spec(project=messages.PROJECT, type="poison", max_attempts=2 * DEATHS)
    async with AsyncClient(address) as client:
        created = await client.create(spec)
    give_up = time.monotonic() + LIMIT
    async with connected(url) as connection:
        while time.monotonic() < give_up:
            [row] = await connection.fetch(sql.READ_END, created.task.task_id)
            if row["seconds"] is not None:
                assert (row["state"], row["crashes"]) == ("FAILED", DEATHS), row
                return float(row["seconds"])
            await asyncio.sleep(LOOK_AGAIN)
    raise Unfinished(f"the poison task goes on after {LIMIT:g} s")


async def _fail_over(servers: Servers, address: str) -> float:
    async with AsyncClient(address) as client:
        spec = Spec(project=messages.PROJECT, type="blog_post")
        await client.create(spec)
        await servers.replicated()
        killed = time.monotonic()
        await servers.kill_primary()
        await servers.promote()
        await client.create(spec, within=LIMIT)
        return time.monotonic() - killed
