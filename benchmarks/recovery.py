"""What dies, and how soon everything goes on: processor, creator, Postgres."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import grpc

from benchmarks import messages
from benchmarks import process_sql as sql
from benchmarks.children import Server, creator
from benchmarks.drains import Unfinished
from benchmarks.filling import Span, connected, fill, pause
from benchmarks.loads.shared import Figures, stubs
from benchmarks.measures import order
from benchmarks.pair import Place, processor
from tandem.postgres.roles import CREATOR

HELD = 1000
"""Tasks that run when their processor ends."""

HEARTBEAT = 1.0
DEAD_AFTER = 5.0
GRACE = 2.0

LIMIT = 120.0

LOOK_AGAIN = 0.02

CALLERS = 16

KILL_AFTER = 2.0
LOAD_SECONDS = 8.0

PROBE_EVERY = 0.02


def killed_processor(place: Place, database: str) -> Figures:
    """`rate` is the seconds past the dead-after time until each task was claimed again."""
    return _handed_over(place, database, signal.SIGKILL, limit=DEAD_AFTER)


def stopped_processor(place: Place, database: str) -> Figures:
    """`rate` is the seconds past the grace until each task was claimed again."""
    return _handed_over(place, database, signal.SIGTERM, limit=GRACE)


def _handed_over(
    place: Place, database: str, number: signal.Signals, *, limit: float
) -> Figures:
    """The tasks of one of two processors, from its end to their next claims."""
    url = place.databases.url(database)
    lease = {
        "concurrency": str(HELD),
        "heartbeat": str(HEARTBEAT),
        "dead_after": str(DEAD_AFTER),
        "grace": str(GRACE),
    }
    span = asyncio.run(_fill_held(url))
    login = place.databases.login(CREATOR, database)
    with creator(login, place.folder, name="creator-r1") as made:
        first = processor(place, database, made.address, name="first", **lease)
        second = processor(place, database, made.address, name="second", **lease)
        with first as victim:
            asyncio.run(_until_claimed(url, span, resume=True))
            with second:
                # The second may judge once its own heart was steady for so long.
                time.sleep(DEAD_AFTER + HEARTBEAT)
                ended = time.monotonic()
                os.kill(victim.pid, number)
                half = asyncio.run(_until_claimed(url, span, claim=2, share=0.5))
                whole = asyncio.run(_until_claimed(url, span, claim=2))
    return Figures(
        rate=whole - ended - limit,
        outcomes={"half of them, s": round(half - ended - limit, 2)},
    )


def killed_creator(place: Place, database: str, *, seed: int) -> Figures:
    """Creates by retrying clients; the creator dies in the middle and is started again."""
    login, listen = place.databases.login(CREATOR, database), free_address()
    orders = {"seed": seed, "seconds": LOAD_SECONDS, "concurrency": CALLERS}
    with ThreadPoolExecutor(max_workers=1) as beside:
        with creator(login, place.folder, name="creator-r2", listen=listen) as victim:
            loading = beside.submit(order, "retrying", listen, **orders)
            time.sleep(KILL_AFTER)
            os.kill(victim.pid, signal.SIGKILL)
        with creator(login, place.folder, name="creator-r2-again", listen=listen):
            return loading.result()


def killed_postgres(place: Place, database: str) -> Figures:
    """`rate` is the seconds from Postgres's return to the first create that succeeds."""
    login = place.databases.login(CREATOR, database)
    with creator(login, place.folder, name="creator-r2-postgres") as server:
        return asyncio.run(_kill_postgres(place, server))


async def _kill_postgres(place: Place, server: Server) -> Figures:
    returned: list[float] = []

    def restart() -> None:
        place.databases.kill()
        place.databases.start()
        returned.append(time.monotonic())

    async with stubs(server.address, 1) as (stub,):
        await stub.CreateTask(next(messages.requests(1)), timeout=LIMIT)
        restarting = asyncio.create_task(asyncio.to_thread(restart))
        failed, first = await _first_success(stub, returned)
        await restarting
    return Figures(rate=max(first - returned[0], 0.0), outcomes={"refused": failed})


async def _first_success(stub: object, returned: list[float]) -> tuple[int, float]:
    """Calls that were refused, and the end of the first that was not, after the return."""
    failed, end = 0, time.monotonic() + LIMIT
    source = messages.requests(time.time_ns())
    while time.monotonic() < end:
        try:
            await stub.CreateTask(next(source), timeout=LIMIT)  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError:
            failed += 1
        else:
            if returned or failed:
                return failed, time.monotonic()
        await asyncio.sleep(PROBE_EVERY)
    raise Unfinished("no create succeeded after Postgres's return")


async def _fill_held(url: str) -> Span:
    async with connected(url) as connection:
        await pause(connection)
        return await fill(connection, HELD, type="held")


async def _until_claimed(
    url: str, span: Span, *, claim: int = 1, share: float = 1, resume: bool = False
) -> float:
    """When that share of the tasks had so many claims each."""
    async with connected(url) as connection:
        if resume:
            await pause(connection, paused=False)
        async with asyncio.timeout(LIMIT):
            wanted = share * span.count
            while await _claimed(connection, span, claim) < wanted:  # noqa: ASYNC110 - a table rings no bell
                await asyncio.sleep(LOOK_AGAIN)
        return time.monotonic()


async def _claimed(connection: asyncpg.Connection, span: Span, claim: int) -> int:
    found: int = await connection.fetchval(sql.COUNT_CLAIMED, *span.place, claim)
    return found


def free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"
