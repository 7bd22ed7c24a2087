"""Whether two creates want the same task, and where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from tandem import limits
from tandem.tasks import TaskRow
from tandem_creator.drafts import Defaulted, Draft

# What an unset field means today. Unset twice is equal whatever it meant then.
MEANING_OF_UNSET: Final = MappingProxyType(
    {
        "title": "",
        "external_id": "",
        "not_before_time": None,
        "start_delay": timedelta(0),
        "retry_policy.max_attempts": limits.DEFAULT_MAX_ATTEMPTS,
        "retry_policy.initial_backoff": limits.DEFAULT_INITIAL_BACKOFF,
        "retry_policy.max_backoff": limits.DEFAULT_MAX_BACKOFF,
        "retry_policy.attempt_timeout": None,
    }
)

STRIPPED: Final = frozenset({"payload", "labels", "title"})
"""What pruning takes away."""


def differing_fields(draft: Draft, row: TaskRow) -> list[str]:
    """Paths of the draft's fields whose content is not the stored task's.

    Names, never values. Of a stripped task only what is left of it is compared.
    """
    return [
        f"spec.{path}"
        for path in _differing(draft, row)
        if row.prune_time is None or path.partition(".")[0] not in STRIPPED
    ]


def _differing(draft: Draft, row: TaskRow) -> Iterator[str]:
    if draft.type != row.type:
        yield "type"
    yield from _differing_keys("payload", draft.payload, row.payload)
    if _differs(draft, row, "queue", bit=Defaulted.QUEUE):
        yield "queue"
    if _differs(draft, row, "priority", bit=Defaulted.PRIORITY):
        yield "priority"
    for path, meaning in MEANING_OF_UNSET.items():
        name = path.rpartition(".")[2]
        given, stored = getattr(draft, name), getattr(row, name)
        if _in_effect(given, meaning) != _in_effect(stored, meaning):
            yield path
    yield from _differing_keys("labels", draft.labels, row.labels)


def _differs(draft: Draft, row: TaskRow, name: str, *, bit: Defaulted) -> bool:
    if bit in draft.defaulted and bit in Defaulted(row.defaulted):
        return False
    return bool(getattr(draft, name) != getattr(row, name))


def _in_effect(value: Any, meaning: Any) -> Any:
    return meaning if value is None else value


def _differing_keys(path: str, given: str | None, stored: str | None) -> Iterator[str]:
    if given == stored:
        return
    wanted: dict[str, Any] = json.loads(given or "{}")
    kept: dict[str, Any] = json.loads(stored or "{}")
    for key in sorted(wanted.keys() | kept.keys()):
        # Key by key as text: to Python, True equals 1.
        if _text(wanted, key) != _text(kept, key):
            yield f"{path}.{key}"


def _text(values: dict[str, Any], key: str) -> str | None:
    return json.dumps(values[key], sort_keys=True) if key in values else None
