"""Page tokens: the place behind a page, bound to the filter it was made under."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from tandem.sealing import BrokenSeal, seal, unsealed

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FORM: Final = struct.Struct(">Bq16s8s")
VERSION: Final = 1
HASH_BYTES: Final = 8
MICROSECOND: Final = timedelta(microseconds=1)

UNKNOWN: Final = "is not a token of a page"


class MalformedToken(ValueError):
    """The token is not one of ours, or belongs to another list."""


@dataclass(frozen=True, slots=True)
class Place:
    """The last task of a page; the next page begins behind it."""

    create_time: datetime
    task_id: UUID


def write_place(place: Place, filter_hash: bytes) -> str:
    """The token, opaque to clients."""
    micros = (place.create_time - EPOCH) // MICROSECOND
    body = FORM.pack(VERSION, micros, place.task_id.bytes, filter_hash[:HASH_BYTES])
    return seal(body)


def read_place(token: str, filter_hash: bytes) -> Place:
    """The place in the token.

    Raises:
        MalformedToken: it was made under another filter, or not by us.
    """
    try:
        body = unsealed(token, size=FORM.size)
    except BrokenSeal:
        raise MalformedToken(UNKNOWN) from None
    version, micros, raw_id, hashed = FORM.unpack(body)
    if version != VERSION:
        raise MalformedToken("is of a version that this release does not know")
    if hashed != filter_hash[:HASH_BYTES]:
        raise MalformedToken("was made with other filters")
    try:
        return Place(EPOCH + micros * MICROSECOND, UUID(bytes=raw_id))
    except OverflowError:
        raise MalformedToken(UNKNOWN) from None
