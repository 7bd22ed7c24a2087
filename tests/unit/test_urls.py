"""A database URL is understood, or refused without a word of it."""

from __future__ import annotations

import pytest

from tandem.postgres.connect import PostgresUnfit, require_url
from tandem.postgres.urls import is_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@db/tandem",
        "postgresql://me:secret@db:5432/tandem?sslmode=require",
        "postgresql://me:secret@[::1]:5432/tandem",
        "postgresql://me:secret@one:5432,two:5433/tandem",
        "postgresql://me:sec%2Fret@%2Frun%2Fpostgresql/tandem",
        "postgresql:///tandem?host=/run/postgresql&port=5432",
    ],
)
def test_what_postgres_understands_is_understood(url: str) -> None:
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sec/ret@db/tandem",
        "postgresql://me:sec#ret@db/tandem",
        "postgresql://me:secret@db:port/tandem",
        "postgresql://me:secret@db:99999/tandem",
        "postgresql://me:secret@one,two:0/tandem",
        "postgresql://me:secret@[::1/tandem",
        "postgresql://me:secret@/tandem?host=db&port=secret",
    ],
)
def test_nothing_of_a_url_that_is_not_understood_is_repeated(url: str) -> None:
    with pytest.raises(PostgresUnfit) as refused:
        require_url(url)

    assert "percent-encode" in str(refused.value)
    assert "sec" not in str(refused.value)
    assert "ret" not in str(refused.value)
