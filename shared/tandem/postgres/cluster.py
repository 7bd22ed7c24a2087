"""The data of an embedded server: made once, whole, and configured at each start."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Mapping
from typing import Final

from tandem.postgres.account import Account
from tandem.postgres.binaries import Binaries
from tandem.postgres.home import Home

SUPERUSER: Final = "postgres"
SOCKET_PORT: Final = 5432

LOCALE: Final = "C.UTF-8" if sys.platform == "linux" else "C"

DEFAULTS: Final = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}

INCLUDE: Final = "include 'tandem.conf'\n"


class WrongMajor(RuntimeError):
    """The data was made by another major version than the programs at hand."""


def ensure_cluster(
    home: Home, account: Account, binaries: Binaries, *, hurry: bool
) -> None:
    """Make the data, unless it is there. A half-made one is never taken for whole.

    `hurry` leaves out the flush to disk.

    Raises:
        CommandFailed: initdb did.
        WrongMajor: these programs cannot serve the data that is there.
    """
    if not (home.data / "PG_VERSION").exists():
        _create(home, account, binaries, hurry=hurry)
    major = (home.data / "PG_VERSION").read_text().strip()
    if major != str(binaries.major):
        raise WrongMajor(
            f"{home.data} was made by PostgreSQL {major}, and the programs in"
            f" {binaries.folder} are {binaries.major}: set PG_BINDIR, or use another"
            " folder"
        )


def configure(
    home: Home, account: Account, *, port: int, settings: Mapping[str, str]
) -> None:
    """Write the settings for the next start. Where it listens is not among them."""
    all_settings = {
        **DEFAULTS,
        **settings,
        "listen_addresses": "127.0.0.1" if port else "",
        "port": str(port or SOCKET_PORT),
        "unix_socket_directories": str(home.socket_folder),
    }
    lines = [f"{name} = {_quoted(value)}\n" for name, value in all_settings.items()]
    account.write(home.data / "tandem.conf", "".join(lines), mode=0o600)
    main = home.data / "postgresql.conf"
    if INCLUDE not in main.read_text():
        with main.open("a") as file:
            file.write(INCLUDE)


def _create(home: Home, account: Account, binaries: Binaries, *, hurry: bool) -> None:
    account.write(home.password_file, f"{secrets.token_urlsafe(24)}\n", mode=0o600)
    half_made = home.path / "data.new"
    for leftover in (half_made, home.data):
        shutil.rmtree(leftover, ignore_errors=True)
    account.run(
        binaries["initdb"],
        f"--pgdata={half_made}",
        f"--username={SUPERUSER}",
        f"--pwfile={home.password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        f"--locale={LOCALE}",
        "--data-checksums",
        *(["--no-sync"] if hurry else []),
    )
    half_made.rename(home.data)


def _quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
