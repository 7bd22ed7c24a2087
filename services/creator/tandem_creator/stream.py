"""StreamCreatedTasks: every created id to every subscriber, from where it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

from tandem import limits
from tandem.access import current_caller
from tandem.postgres.logins import Connection
from tandem.v1 import creator_pb2 as pb
from tandem_creator.ahead import one_ahead
from tandem_creator.connections import Kept
from tandem_creator.epoch import Epoch
from tandem_creator.following import (
    Following,
    Start,
    expired,
    parse_following,
    starting_place,
)
from tandem_creator.horizon import Horizon
from tandem_creator.store.positions import read_last
from tandem_creator.store.stream import Page, read_projects, read_stream

PAGE: Final = limits.MAX_BATCH

Response = pb.StreamCreatedTasksResponse


class Stream:
    """The stream as this process serves it, to any number of subscribers."""

    def __init__(
        self,
        kept: Kept,
        *,
        horizon: Horizon,
        epoch: Epoch,
        frame: float = limits.FRAME_SECONDS,
    ) -> None:
        self._kept = kept
        self._horizon = horizon
        self._epoch = epoch
        self._frame = frame

    async def follow(
        self,
        request: pb.StreamCreatedTasksRequest,
        *,
        ready: Callable[[], Awaitable[None]],
    ) -> AsyncIterator[Response]:
        """Yield what the subscriber asked for, until it leaves.

        Awaits `ready` once its place is found. No connection is held while a message waits to be taken.

        Raises:
            InvalidRequest: names every field at fault.
            ResumeTokenExpired: the place is no longer, or never was; also on the way,
                of a subscriber that retention has overtaken.
            Stopping: this process shuts down.
        """
        following = parse_following(request)
        start = await starting_place(
            following, kept=self._kept, horizon=self._horizon, epoch=self._epoch
        )
        end = await self._last() if following.until_caught_up else None
        await ready()
        if following.from_now:
            yield self._message(following, Page((), start.place))
        # A database that reads while a message is sent: catching up goes twice as fast.
        async for page in one_ahead(self._pages(following, start, end=end)):
            yield self._message(following, page)

    async def _pages(
        self, following: Following, start: Start, *, end: int | None
    ) -> AsyncGenerator[Page, None]:
        """Pages worth a message: with ids, in time for a frame, or the last one."""
        place = start.place
        clock = asyncio.get_running_loop().time
        quiet_until = clock() + self._frame
        while end is None or place < end:
            page = await self._next_page(following, place, within=quiet_until - clock())
            if page.floor > max(place, start.gaps_to):
                raise expired(following, page.floor, epoch=self._epoch)
            place = page.end
            if page.ids or clock() >= quiet_until:
                yield page
                quiet_until = clock() + self._frame
        yield Page((), place)

    async def _next_page(
        self, following: Following, place: int, *, within: float
    ) -> Page:
        settled = await self._horizon.past(place, within=max(within, 0))
        if settled is None:
            return Page((), place)
        async with self._kept.connected() as connection:
            page = await read_stream(
                connection,
                place,
                settled=settled,
                queues=following.queues or None,
                limit=PAGE,
            )
            return await self._only_wanted(following, page, connection)

    async def _last(self) -> int:
        async with self._kept.connected() as connection:
            return await read_last(connection)

    async def _only_wanted(
        self, following: Following, page: Page, connection: Connection
    ) -> Page:
        caller = current_caller.get()
        if not page.ids or (caller.may_read_all and not following.projects):
            return page
        projects = await read_projects(connection, page.ids)
        wanted = {
            project: following.wants(project) and caller.may_read(project)
            for project in set(projects.values())
        }
        ids = [i for i in page.ids if i in projects and wanted[projects[i]]]
        return Page(ids, page.end, page.floor)

    def _message(self, following: Following, page: Page) -> Response:
        token = following.token_at(page.end, epoch_id=self._epoch.current)
        return Response(
            task_ids=[str(task_id) for task_id in page.ids], resume_token=str(token)
        )
