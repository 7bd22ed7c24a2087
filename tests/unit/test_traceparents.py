"""What counts as a traceparent, by the examples and rules of the W3C."""

from __future__ import annotations

import pytest

from tandem.traceparents import checked, metadata, sent_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

MALFORMED = [
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-01\n",
    "",
]


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_a_traceparent_is_found_among_other_metadata(flags: str) -> None:
    sent = f"00-{TRACE}-{SPAN}-{flags}"

    assert sent_traceparent((("other", "1"), ("traceparent", sent))) == sent


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_one_counts_as_none(malformed: str) -> None:
    assert sent_traceparent((("traceparent", malformed),)) == ""


@pytest.mark.parametrize("malformed", MALFORMED[:-1])
def test_a_malformed_one_is_not_sent(malformed: str) -> None:
    with pytest.raises(ValueError, match="traceparent"):
        checked(malformed)


def test_a_call_without_metadata_has_none() -> None:
    assert sent_traceparent(None) == ""
    assert metadata() is None
