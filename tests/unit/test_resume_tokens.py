from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_creator.tokens import MalformedToken, Token, digest

TOKENS = st.builds(
    Token,
    st.uuids(),
    st.integers(min_value=0, max_value=2**63 - 1),
    st.binary(min_size=8, max_size=8),
)


@given(TOKENS)
def test_a_token_reads_back_as_it_was_written(token: Token) -> None:
    assert Token.parse(str(token)) == token


@given(st.text())
def test_p10_text_that_was_never_a_token_is_malformed(text: str) -> None:
    with pytest.raises(MalformedToken):
        Token.parse(text)


@given(TOKENS, st.data())
def test_p10_a_token_with_one_character_changed_is_malformed(
    token: Token, data: st.DataObject
) -> None:
    text = str(token)
    # The last character holds bits that mean nothing.
    index = data.draw(st.integers(min_value=0, max_value=len(text) - 2))
    other = "A" if text[index] != "A" else "B"

    with pytest.raises(MalformedToken):
        Token.parse(text[:index] + other + text[index + 1 :])


def test_a_token_is_safe_in_a_url_and_short() -> None:
    text = str(Token(UUID(int=1), 2**63 - 1, b"\xff" * 8))

    assert len(text) < 64
    assert set(text).isdisjoint("+/=")


def test_the_same_sets_in_another_order_are_the_same_filter() -> None:
    assert digest(["a", "b"], ["c"]) == digest(["b", "a", "b"], ["c"])


def test_queues_and_projects_are_not_mixed_up() -> None:
    assert digest(["a"], []) != digest([], ["a"])
