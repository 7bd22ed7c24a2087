"""`tandem key create|list|revoke`: API keys, under the owner's login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import click
from rich.table import Table
from rich.text import Text

from tandem.access import Scope
from tandem.authentication import key_store
from tandem.authentication.key_store import StoredKey
from tandem.authentication.key_text import new_key
from tandem.cli import folders
from tandem.cli.failures import CallFailed
from tandem.cli.options import common, takes
from tandem.cli.output import console, print_json
from tandem.cli.parameters import ScopeType, Span
from tandem.postgres.connect import connected

APPLICATION: Final = "tandem_key"

OWNER_URL: Final = "TANDEM_OWNER_URL"


def login_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--owner-url` and `--data`."""
    data_option = folders.data_option(
        "The folder of `tandem up`, whether that runs or not."
    )
    for option in (data_option, owner_option):
        function = option(function)
    return function


owner_option = click.option(
    "--owner-url",
    envvar=OWNER_URL,
    help="The login of tandem_owner.  [default: that of --data]",
)


@click.group()
@takes("json")
def key() -> None:
    """Make and revoke the API keys of callers."""


@key.command()
@click.option("--name", required=True, help="Who calls: tasks and logs name it.")
@click.option(
    "--scope",
    "scopes",
    type=ScopeType(),
    multiple=True,
    required=True,
    help="ACTION:PROJECT: create, read, operate or process; * for every project.",
)
@click.option("--expires-in", type=Span(), metavar="SPAN", help="90d, say.")
@login_options
@takes("json")
@click.pass_context
def create(
    context: click.Context,
    /,
    *,
    name: str,
    scopes: Sequence[Scope],
    expires_in: timedelta | None,
    owner_url: str | None,
    data: Path,
) -> None:
    """Make a key, and print it: it is shown this once."""
    name = name.strip()
    if not name or not name.isprintable() or len(name) > 63:  # noqa: PLR2004
        raise click.UsageError("--name must be 1 to 63 printable characters", context)
    text, made = new_key()

    async def work() -> StoredKey:
        async with _owner(owner_url, data) as connection:
            return await key_store.create_key(
                connection, made, name=name, scopes=scopes, expires_in=expires_in
            )

    stored = asyncio.run(work())
    if common(context).json:
        print_json({**_plain(stored), "key": text})
    else:
        click.echo(text)


@key.command(name="list")
@login_options
@takes("json")
@click.pass_context
def list_(context: click.Context, /, *, owner_url: str | None, data: Path) -> None:
    """Show all keys, without their secrets."""

    async def work() -> list[StoredKey]:
        async with _owner(owner_url, data) as connection:
            return await key_store.list_keys(connection)

    found = asyncio.run(work())
    if common(context).json:
        for each in found:
            print_json(_plain(each))
    else:
        _print(found)


@key.command()
@click.argument("key_id")
@login_options
@takes("json")
@click.pass_context
def revoke(
    context: click.Context, /, key_id: str, *, owner_url: str | None, data: Path
) -> None:
    """End a key. Services refuse it within five seconds. Safe to repeat."""

    async def work() -> StoredKey | None:
        async with _owner(owner_url, data) as connection:
            return await key_store.revoke_key(connection, key_id)

    found = asyncio.run(work())
    if found is None:
        # Not repeated: whoever pastes a whole key here has shown it to a log.
        raise CallFailed("no key has this id; `tandem key list` shows the ids")
    if common(context).json:
        print_json(_plain(found))
    else:
        click.echo(f"{found.key_id}  {found.name}  revoked")


@asynccontextmanager
async def _owner(
    owner_url: str | None, data: Path
) -> AsyncIterator[asyncpg.Connection]:
    login = folders.login(
        owner_url, data, variable=OWNER_URL, of=lambda logins: logins.owner_url
    )
    async with (
        login as url,
        connected(url, application_name=APPLICATION) as connection,
    ):
        yield connection


def _print(keys: Sequence[StoredKey]) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("KEY", "NAME", "STATE", "CREATED", "EXPIRES", "SCOPES"):
        table.add_column(column, no_wrap=True)
    for each in keys:
        table.add_row(
            each.key_id,
            Text(each.name),
            _state(each),
            _moment(each.create_time),
            _moment(each.expire_time) if each.expire_time else "never",
            Text(" ".join(each.scopes)),
        )
    console().print(table)


def _state(stored: StoredKey) -> str:
    if stored.revoke_time:
        return "revoked"
    expired = stored.expire_time and stored.expire_time <= datetime.now(UTC)
    return "expired" if expired else "valid"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _plain(stored: StoredKey) -> dict[str, Any]:
    def told(moment: datetime | None) -> str | None:
        return moment.astimezone(UTC).isoformat() if moment else None

    return {
        "key_id": stored.key_id,
        "name": stored.name,
        "state": _state(stored),
        "scopes": list(stored.scopes),
        "create_time": told(stored.create_time),
        "expire_time": told(stored.expire_time),
        "revoke_time": told(stored.revoke_time),
    }
