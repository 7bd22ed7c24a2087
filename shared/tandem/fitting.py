"""Making an error's details fit into what any client accepts.

gRPC's own default is 8 KiB for all trailing metadata of an answer. What is over it
reaches the caller as RESOURCE_EXHAUSTED, and the reason is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

Named: TypeAlias = tuple[str, str]
"""A field's path, and what is wrong with it."""

MESSAGE_BYTES: Final = 900
"""Of a message, which is sent twice: by itself and in the details."""

VALUE_BYTES: Final = 400
"""Of one value of the metadata, or one violation's path or description."""

DETAILS_BYTES: Final = 6_000
"""Of the status with everything in it."""

REST_BYTES: Final = 2_200
"""Of one line that names the requests whose violations had no room: a thousand fit."""

FRAME_BYTES: Final = 10
"""Of one violation, beside its texts."""

INDEX: Final = re.compile(r"(\w+)\[(\d+)\]")


def cut(text: str, most: int) -> str:
    """The text, or as much of it as takes so many bytes on the wire."""
    # gRPC writes each byte that is not printable ASCII as three.
    sizes = (1 if " " <= char <= "~" else 3 * len(char.encode()) for char in text)
    left = most
    for index, size in enumerate(sizes):
        left -= size
        if left < 0:
            return text[: max(0, index - 3)] + "..."
    return text


def fitting(violations: Sequence[Named], *, room: int) -> list[Named]:
    """As many as fit into so many bytes; the last then names the rest in short."""
    short = [(cut(f, VALUE_BYTES), cut(d, VALUE_BYTES)) for f, d in violations]
    if sum(map(_size, short)) <= room:
        return short
    kept: list[Named] = []
    room -= REST_BYTES
    for each in short:
        room -= _size(each)
        if room < 0:
            break
        kept.append(each)
    return [*kept, _rest([field for field, _ in short[len(kept) :]])]


def _size(violation: Named) -> int:
    return sum(len(text.encode()) for text in violation) + FRAME_BYTES


def _rest(fields: Sequence[str]) -> Named:
    """All the others, by the requests that they lie in where there are several."""
    found = [INDEX.match(field) for field in fields]
    if not all(found):
        return "", cut(f"{len(fields)} more: {', '.join(fields)}", VALUE_BYTES)
    indexes = sorted({int(each[2]) for each in found if each})
    name = next(each[1] for each in found if each)
    return name, cut(f"also at fault: {_ranges(indexes)}", REST_BYTES - FRAME_BYTES)


def _ranges(numbers: Iterable[int]) -> str:
    """In words: 1, 3-7, 9."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, each)) for each in ranges)
