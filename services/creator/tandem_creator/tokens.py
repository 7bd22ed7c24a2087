"""Resume tokens: an opaque place in the stream, bound to a filter and an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self
from uuid import UUID

from tandem import limits, wire
from tandem.sealing import BrokenSeal, seal, unsealed

VERSION: Final = 1

LAYOUT: Final = Struct(">B16sQ8s")
"""Version, epoch, position, filter."""


class MalformedToken(ValueError):
    """This text was never a token of ours."""


@dataclass(frozen=True, slots=True)
class Token:
    """Everything of one filter up to one position, in one history."""

    epoch_id: UUID
    position: int
    filter: bytes

    def __str__(self) -> str:
        fields = (VERSION, self.epoch_id.bytes, self.position, self.filter)
        return seal(LAYOUT.pack(*fields))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token that was written so.

        Raises:
            MalformedToken: none was.
        """
        if len(text) > limits.MAX_RESUME_TOKEN:
            raise MalformedToken
        try:
            body = unsealed(text, size=LAYOUT.size)
        except BrokenSeal as error:
            raise MalformedToken from error
        version, epoch, position, filter_ = LAYOUT.unpack(body)
        if version != VERSION:
            raise MalformedToken
        return cls(UUID(bytes=epoch), position, filter_)


def digest(queues: Iterable[str], projects: Iterable[str]) -> bytes:
    """The same for the same sets, in whatever order they were given."""
    text = wire.canonical_json([sorted(set(queues)), sorted(set(projects))])
    return hashlib.sha256(text.encode()).digest()[:8]
