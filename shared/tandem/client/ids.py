"""Request ids: one for each intended call."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

REQUEST_IDS: Final = uuid5(NAMESPACE_URL, "tandem:request-id")
"""The namespace of request ids that are made from other texts."""


def request_id_from(text: str) -> str:
    """The request id that stands for any other text: the same text, the same id."""
    return str(uuid5(REQUEST_IDS, text))


def as_request_id(given: str | UUID) -> str:
    """A UUID as it is; any other text by the UUID that stands for it."""
    try:
        return str(UUID(str(given)))
    except ValueError:
        return request_id_from(str(given))
