"""What was sealed is known again, and nothing else is."""

from __future__ import annotations

import pytest

from tandem.sealing import BrokenSeal, seal, unsealed

BODY = bytes(range(250, 256)) + b"body"


@pytest.mark.parametrize("body", [BODY, b"", b"\0"], ids=repr)
def test_a_body_comes_back(body: bytes) -> None:
    assert unsealed(seal(body), size=len(body)) == body


def test_a_sealed_text_goes_into_a_url_as_it_is() -> None:
    assert seal(BODY).replace("-", "").replace("_", "").isalnum()


def test_a_letter_changed_or_lost_breaks_the_seal() -> None:
    text = seal(BODY)
    changed = [
        f"{text[:place]}{'A' if letter != 'A' else 'B'}{text[place + 1 :]}"
        for place, letter in enumerate(text)
    ]
    for broken in (*changed, text[:-1], text[1:], f"{text}A"):
        with pytest.raises(BrokenSeal):
            unsealed(broken, size=len(BODY))


@pytest.mark.parametrize("size", [0, len(BODY) - 1, len(BODY) + 1])
def test_a_body_of_another_size_was_sealed_by_somebody_else(size: int) -> None:
    with pytest.raises(BrokenSeal):
        unsealed(seal(BODY), size=size)


@pytest.mark.parametrize("text", ["", "é", "a b", "!", "A" * 5000, "\ud800"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(BrokenSeal):
        unsealed(text, size=len(BODY))
