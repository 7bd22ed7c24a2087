"""What an operator sees of a processor that cannot run."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping

import pytest

from tests.support.cluster import Database

LIMIT = 30.0

GOOD = "tests.support.system_handlers:handlers"


async def started(environ: Mapping[str, str]) -> tuple[int | None, str, str]:
    """The exit code, and what was written to standard output and error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tandem_processor",
        env={**_outside(), "TANDEM_LISTEN": "127.0.0.1:0", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT):
            out, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, out.decode(), error.decode()


async def refusal(environ: Mapping[str, str]) -> str:
    code, _, error = await started(environ)
    assert code == 2
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("handlers", "said"),
    [
        ("no_such_module_here:handlers", "cannot import no_such_module_here"),
        ("tandem.limits:handlers", "tandem.limits has no Handlers named handlers"),
        ("handlers", "is not of the form module:name"),
    ],
)
async def test_bad_handlers_are_one_line(
    database: Database, handlers: str, said: str
) -> None:
    environ = {
        "TANDEM_DATABASE_URL": database.processor_url,
        "TANDEM_HANDLERS": handlers,
    }

    assert said in await refusal(environ)


async def test_a_database_that_is_away_is_one_line_without_its_password() -> None:
    error = await refusal(
        {
            "TANDEM_DATABASE_URL": "postgresql://p:s3cret@127.0.0.1:9/tandem",
            "TANDEM_HANDLERS": GOOD,
        }
    )

    assert "cannot reach the database" in error
    assert "s3cret" not in error


async def test_p4_a_processor_refuses_to_work_with_the_creators_login(
    database: Database,
) -> None:
    error = await refusal(
        {"TANDEM_DATABASE_URL": database.creator_url, "TANDEM_HANDLERS": GOOD}
    )

    assert "not fit to serve" in error
    assert "too many: INSERT on tandem.tasks" in error
    assert "too few: UPDATE on tandem.task_status" in error


async def test_all_faults_of_the_settings_are_named_at_once() -> None:
    error = await refusal({"TANDEM_CONCURRENCY": "0", "TANDEM_DATABASE_URL": "x"})

    for name in ("TANDEM_DATABASE_URL", "TANDEM_HANDLERS", "TANDEM_CONCURRENCY"):
        assert name in error


async def test_a_limit_under_two_heartbeats_is_refused(database: Database) -> None:
    environ = {
        "TANDEM_DATABASE_URL": database.processor_url,
        "TANDEM_HANDLERS": GOOD,
        "TANDEM_HEARTBEAT": "10",
        "TANDEM_DEAD_AFTER": "15",
    }

    assert "TANDEM_DEAD_AFTER must be at least twice" in await refusal(environ)


async def test_a_port_that_is_taken_is_one_line(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = await refusal(
            {
                "TANDEM_DATABASE_URL": database.processor_url,
                "TANDEM_HANDLERS": GOOD,
                "TANDEM_LISTEN": f"127.0.0.1:{port}",
            }
        )
    assert str(port) in error


def _outside() -> dict[str, str]:
    """As a shell has it: how this process set up gRPC is not handed on."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GRPC_")}
