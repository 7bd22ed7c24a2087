"""What went wrong, in one line that says what to do, and the exit code for it."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Final

import asyncpg
import click
import grpc

from tandem.client import reason_of
from tandem.client.advice import advice
from tandem.demo.articles import NoArticles
from tandem.postgres.account import NoAccount
from tandem.postgres.binaries import NoPostgres
from tandem.postgres.connect import PostgresUnfit
from tandem.postgres.embedded import EmbeddedFailed
from tandem.postgres.locks import StillLocked
from tandem.postgres.migrate import MigrationRefused
from tandem.postgres.passwords import InvalidPasswords
from tandem.postgres.postmaster import StillInUse
from tandem.processes import DidNotServe
from tandem.pruning.running import UnknownGroup
from tandem.starting import WrongPrivileges

REFUSED: Final = 1
SET_RIGHT_FIRST: Final = 2
"""Exit codes. The second: nothing was tried, since something is wrong here."""

# Their own words say what to do.
SETUP: Final = (
    DidNotServe,
    EmbeddedFailed,
    InvalidPasswords,
    MigrationRefused,
    NoAccount,
    NoArticles,
    NoPostgres,
    PostgresUnfit,
    StillInUse,
    StillLocked,
    UnknownGroup,
)


UNREACHED: Final = (None, errno.ENOENT, errno.EHOSTUNREACH, errno.ENETUNREACH)


@dataclass(frozen=True, slots=True)
class Failure:
    """One line for a person, and the code for a script."""

    line: str
    code: int


class CallFailed(Exception):
    """A call was refused or not answered. The message is for people."""


class ServiceEnded(Exception):
    """A service ended by itself while others were still needed."""


def describe(error: Exception) -> Failure | None:
    """None where the error is a defect of ours, which deserves its traceback."""
    if isinstance(error, click.ClickException | UnicodeEncodeError):
        return Failure(_usage(error), SET_RIGHT_FIRST)
    if isinstance(error, CallFailed | ServiceEnded):
        return Failure(one_line(str(error)), REFUSED)
    if isinstance(error, WrongPrivileges):
        line = f"the database login is not fit for this: {one_line(str(error))}"
        return Failure(line, SET_RIGHT_FIRST)
    if isinstance(error, SETUP):
        return Failure(one_line(str(error)), SET_RIGHT_FIRST)
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError):
        return Failure(_unreachable(error), SET_RIGHT_FIRST)
    return None


def call_failed(error: grpc.RpcError, *, service: str, address: str) -> CallFailed:
    """The failed call in words: the service's own where it answered."""
    if reason := reason_of(error):
        return CallFailed(reason.message)
    code = error.code()
    if told := advice(error):
        return CallFailed(f"the {service} at {address} {told}")
    if code is grpc.StatusCode.UNAVAILABLE:
        return CallFailed(
            f"no {service} answers at {address}: start one with `tandem up`, or name"
            f" its address with --{service}"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        same = " with the same --request-id" if service == "creator" else ""
        return CallFailed(
            f"the {service} at {address} did not answer in time; what it did is not"
            f" known: repeat the command{same}"
        )
    return CallFailed(f"{code.name}: {error.details()}")


def one_line(text: str) -> str:
    return " ".join(text.split())


def _usage(error: click.ClickException | UnicodeEncodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        # Bytes of the command line that are no text reach a message as surrogates.
        return f"{error.object!a} is not UTF-8 text"
    text = one_line(error.format_message())
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text.rstrip('.')}; see `{context.command_path} --help`"


def _unreachable(error: Exception) -> str:
    name = type(error).__name__
    words = one_line(str(error)) or "no answer"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"the database refuses the login: {words}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}"
    if _is_unanswered(error):
        return (
            f"no PostgreSQL answers at the address of the database's URL ({words}):"
            " start it there, or give the URL of one that runs"
        )
    return f"the database is not usable ({name}): {words}"


def _is_unanswered(error: Exception) -> bool:
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    # Of a name with several addresses asyncio tells all failures in one, without a number.
    return isinstance(error, OSError) and error.errno in UNREACHED
