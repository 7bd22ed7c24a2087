"""Bytes as text for clients to keep, with a check that tells it from one cut or mistyped."""

from __future__ import annotations

import hashlib
from base64 import b64decode, urlsafe_b64encode
from typing import Final

CHECK_BYTES: Final = 4
"""Of SHA-256. Not a secret: whoever wants to can make such a text."""


class BrokenSeal(ValueError):
    """The text was never sealed here, or not as so many bytes."""


def seal(body: bytes) -> str:
    """The body and its check, as URL-safe base64 without padding."""
    return urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def unsealed(text: str, *, size: int) -> bytes:
    """The `size` bytes that were sealed as this text.

    Raises:
        BrokenSeal: none were.
    """
    padded = text + "=" * (-len(text) % 4)
    try:
        found = b64decode(padded, altchars=b"-_", validate=True)
    except ValueError as error:
        raise BrokenSeal from error
    body, check = found[:size], found[size:]
    if len(body) != size or check != _check(body):
        raise BrokenSeal
    return body


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECK_BYTES]
