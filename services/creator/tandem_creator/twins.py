"""Drafts of one batch that are after the same task."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from uuid import UUID

from tandem.validation import Violations
from tandem_creator.content import differing_fields
from tandem_creator.drafts import Draft
from tandem_creator.rows import row_of
from tandem_creator.store.winners import Match, Winner


def first_of_each(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts that no earlier one stands in the way of."""
    taken: set[Hashable] = set()
    first = []
    for draft in drafts:
        keys = set(_keys(draft).values())
        if taken.isdisjoint(keys):
            first.append(draft)
            taken |= keys
    return first


def refuse_unequal_twins(drafts: Sequence[Draft]) -> None:
    """One request id is one intended call, so its content must be the same.

    Raises:
        InvalidRequest: names both requests of each unequal pair.
    """
    found = Violations()
    seen: dict[Hashable, int] = {}
    for index, draft in enumerate(drafts):
        first = seen.setdefault((draft.project, draft.request_id), index)
        if first == index:
            continue
        if differing := differing_fields(draft, row_of(drafts[first], None)):
            fields = ", ".join(differing)
            found.add(*_unequal(index, first, fields))
            found.add(*_unequal(first, index, fields))
    found.refuse()


def _unequal(index: int, other: int, fields: str) -> tuple[str, str]:
    return (
        f"requests[{index}].request_id",
        f"is that of requests[{other}] too, where these fields differ: {fields}",
    )


def foreseen(
    drafts: Sequence[Draft], winners: Mapping[UUID, Winner]
) -> dict[UUID, Winner]:
    """The winners, and those that would come from the same batch."""
    holders: dict[Hashable, Winner] = {}
    answers: dict[UUID, Winner] = {}
    for draft in drafts:
        if answer := winners.get(draft.task_id) or _foreseen(draft, holders):
            answers[draft.task_id] = answer
            continue
        row = row_of(draft, None)
        holders |= {key: Winner(row, match) for match, key in _keys(draft).items()}
    return answers


def _foreseen(draft: Draft, holders: Mapping[Hashable, Winner]) -> Winner | None:
    found = (holders.get(key) for key in _keys(draft).values())
    return next((winner for winner in found if winner), None)


def _keys(draft: Draft) -> dict[Match, Hashable]:
    """What a task of this draft would hold, what decides first at the front."""
    return dict(_each_key(draft))


def _each_key(draft: Draft) -> Iterator[tuple[Match, Hashable]]:
    yield Match.REQUEST_ID, (draft.project, draft.request_id)
    if draft.external_id is not None:
        yield Match.EXTERNAL_ID, (draft.project, draft.external_id)
    if draft.window is not None:
        yield Match.CONTENT, draft.window.content_key
