"""Members without a stream, and what is handed out to them."""

from __future__ import annotations

from uuid import uuid4

from tandem_creator.members import Join, Member
from tandem_creator.store.places import Kind, Lane

LANE = Lane(1, "default", 3)
EMAIL = Kind("email", "shop")


def a_member(credit: int = 0, *, types: frozenset[str] | None = None) -> Member:
    join = Join(
        group="processors",
        processor_id=uuid4(),
        queues=frozenset({"default"}),
        types=types,
    )
    member = Member(join)
    if credit:
        member.grant(credit)
    return member
