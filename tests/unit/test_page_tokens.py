from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tandem.sealing import seal
from tandem_processor import tokens
from tandem_processor.tokens import MalformedToken, Place, read_place, write_place

PLACE = Place(
    datetime(2026, 11, 22, 6, 1, 2, 345678, tzinfo=UTC),
    UUID("6b6f4bac-892d-4c1d-ad6d-e239bc7c7b40"),
)
HASH, OTHER = b"a" * 32, b"b" * 32


def tampered(micros: int) -> str:
    """Whole, and of a time that no task has."""
    body = tokens.FORM.pack(tokens.VERSION, micros, PLACE.task_id.bytes, HASH[:8])
    return seal(body)


def test_a_place_comes_back_exact_to_the_microsecond() -> None:
    assert read_place(write_place(PLACE, HASH), HASH) == PLACE


def test_a_token_is_bound_to_its_filter() -> None:
    with pytest.raises(MalformedToken, match="other filters"):
        read_place(write_place(PLACE, HASH), OTHER)


@pytest.mark.parametrize(
    "token",
    [
        tampered(2**62),
        "x",
        "é",
        "A" * 5000,
        "....",
        write_place(PLACE, HASH)[:-1],
        "AQ",
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(MalformedToken):
        read_place(token, HASH)


def test_a_changed_token_is_refused() -> None:
    token = write_place(PLACE, HASH)
    for index, letter in enumerate(token[:-1]):
        other = "B" if letter != "B" else "C"
        with pytest.raises(MalformedToken):
            read_place(token[:index] + other + token[index + 1 :], HASH)
