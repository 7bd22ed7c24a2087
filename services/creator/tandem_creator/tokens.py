"""Resume tokens: an opaque place in the stream, bound to a filter and an epoch."""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self
from uuid import UUID

from tandem import limits, wire

VERSION: Final = 1

LAYOUT: Final = Struct(">B16sQ8s")
"""Version, epoch, position, filter."""

CHECKSUM_BYTES: Final = 4


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
        body = LAYOUT.pack(*fields)
        return urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token that was written so.

        Raises:
            MalformedToken: none was.
        """
        data = _bytes(text)
        body, checksum = data[: LAYOUT.size], data[LAYOUT.size :]
        if len(body) != LAYOUT.size or checksum != _checksum(body):
            raise MalformedToken
        version, epoch, position, filter_ = LAYOUT.unpack(body)
        if version != VERSION:
            raise MalformedToken
        return cls(UUID(bytes=epoch), position, filter_)


def digest(queues: Iterable[str], projects: Iterable[str]) -> bytes:
    """The same for the same sets, in whatever order they were given."""
    text = wire.canonical_json([sorted(set(queues)), sorted(set(projects))])
    return hashlib.sha256(text.encode()).digest()[:8]


def _bytes(text: str) -> bytes:
    if len(text) > limits.MAX_RESUME_TOKEN or not text.isascii():
        raise MalformedToken
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise MalformedToken from error


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECKSUM_BYTES]
