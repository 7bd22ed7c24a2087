"""The words of a group's member, checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from tandem import calls, limits
from tandem.access import Caller, current_caller
from tandem.permissions import group_rule
from tandem.v1 import creator_pb2 as pb
from tandem.validation import Violations
from tandem.violations import at_fault
from tandem_creator.members import Join

Request = pb.ConsumeCreatedTasksRequest


async def parsed(requests: AsyncIterator[Request]) -> AsyncIterator[Request]:
    """The member's messages.

    Raises:
        InvalidRequest: one said nothing.
    """
    async for request in requests:
        if request.WhichOneof("kind") is None:
            raise at_fault("kind", "is required")
        yield request


async def read_join(requests: AsyncIterator[Request]) -> Join:
    """Who asks: what the first message has to say.

    Raises:
        PermissionDenied: the caller may not be a member of this group.
        InvalidRequest: names every field at fault, or the message that is missing.
    """
    try:
        async with asyncio.timeout(calls.TAKE_LIMIT):
            first = await anext(requests, None)
    except TimeoutError:
        raise at_fault("join", "did not come in time") from None
    if first is None or not first.HasField("join"):
        raise at_fault("join", "must come first")
    group_rule(first.join.group).require_use(current_caller.get())
    return _parse_join(first.join)


def _parse_join(join: Request.Join) -> Join:
    found = Violations()
    group = found.name("join.group", join.group)
    queues = found.names("join.queues", join.queues)
    if not queues:
        found.add("join.queues", "is required")
    processor_id = found.uuid("join.processor_id", join.processor_id)
    types = found.names("join.types", join.types)
    found.refuse()
    assert processor_id is not None
    return Join(
        group=group,
        processor_id=processor_id,
        queues=frozenset(queues),
        types=frozenset(types) or None,
        caller=_member(group),
    )


def _member(group: str) -> Caller:
    """The caller, as far as the group goes: who works tasks is sent those it may work."""
    caller = current_caller.get()
    return caller.only("process") if group == limits.WORKERS else caller


def parse_credits(grant: Request.Grant) -> int:
    """How many more ids may be sent.

    Raises:
        InvalidRequest: too few or too many.
    """
    found = Violations()
    more = found.count("grant.credits", grant.credits, least=1, most=limits.MAX_CREDITS)
    found.refuse()
    return more


def parse_ids(field: str, texts: Sequence[str]) -> list[UUID]:
    """Task ids.

    Raises:
        InvalidRequest: names each text that is none.
    """
    found = Violations()
    ids = [found.uuid(f"{field}[{i}]", text) for i, text in enumerate(texts)]
    found.refuse()
    return [task_id for task_id in ids if task_id is not None]
