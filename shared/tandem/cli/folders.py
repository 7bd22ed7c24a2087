"""The folder of `tandem up`, in which commands find the logins that nobody has given them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from tandem.database import CREDENTIALS, ready_database
from tandem.pair import Logins

Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(meaning: str) -> Callable[[Command], Command]:
    """`--data`, and what the command does with it."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        default=".tandem",
        show_default=True,
        help=meaning,
    )


@asynccontextmanager
async def login(
    given: str | None, data: Path, *, variable: str, of: Callable[[Logins], str]
) -> AsyncIterator[str]:
    """The URL that was given, or that of the folder, whose server runs meanwhile.

    Raises:
        UsageError: neither was given.
    """
    if given is not None:
        yield given
        return
    if not (data / CREDENTIALS).exists():
        raise click.UsageError(
            f"set {variable}, or name the folder of `tandem up` with --data:"
            f" {data} is none"
        )
    async with ready_database(data) as logins:
        yield of(logins)
