"""The words of a group's member, checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from tandem import calls, limits
from tandem.access import current_caller
from tandem.errors import InvalidRequest, Violation
from tandem.v1 import creator_pb2 as pb
from tandem.validation import Violations
from tandem_creator.members import Join

Request = pb.ConsumeCreatedTasksRequest


async def parsed(requests: AsyncIterator[Any]) -> AsyncIterator[Request]:
    """The member's messages.

    Raises:
        InvalidRequest: one was no message, or said nothing.
    """
    async for request in requests:
        if not isinstance(request, Request):
            assert isinstance(request, calls.Malformed)
            raise InvalidRequest("the bytes sent are not a message of this method")
        if request.WhichOneof("kind") is None:
            raise refused("kind", "is required")
        yield request


async def read_join(requests: AsyncIterator[Request]) -> Join:
    """Who asks: what the first message has to say.

    Raises:
        InvalidRequest: names every field at fault, or the message that is missing.
    """
    first = await anext(requests, None)
    if first is None or not first.HasField("join"):
        raise refused("join", "must come first")
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
        caller=current_caller.get(),
    )


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


def refused(field: str, description: str) -> InvalidRequest:
    """A message out of turn."""
    return InvalidRequest(
        f"{field} {description}", violations=[Violation(field, description)]
    )
