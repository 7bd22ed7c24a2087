"""`tandem up`: everything with one command, and nothing lost when it ends."""

from __future__ import annotations

import asyncio
import os
import re
import select
import shlex
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tandem.postgres.account import Account
from tandem.postgres.embedded import EmbeddedPostgres
from tests.support.cluster import reachable_folder
from tests.support.command import Standing, standing, tandem
from tests.support.documented import blocks
from tests.support.gates import standing_gate
from tests.support.running_pair import ROOT

START_LIMIT = 30.0
"""Seconds: many times what is promised, for a machine that is busy with tests."""

HANDLERS = "tests.support.system_handlers:handlers"


@pytest.fixture
def data() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder / "data"


@dataclass(frozen=True, slots=True)
class Upright:
    """What `tandem up` started."""

    command: Standing
    environ: dict[str, str]
    """Leads other commands to it."""

    async def task(self, *arguments: str) -> list[dict[str, Any]]:
        ended = await tandem("--json", "task", *arguments, environ=self.environ)
        assert ended.code == 0, ended.err
        return ended.json_lines()


@asynccontextmanager
async def up(
    data: Path, *handlers: str, **environ_of_it: str
) -> AsyncIterator[Upright]:
    free = "127.0.0.1:0"
    arguments = ("--creator-listen", free, "--processor-listen", free)
    async with standing(
        "up", "--data", data, *(handlers or ("--handlers", HANDLERS)), *arguments,
        environ={"TANDEM_GRACE": "0.5", **environ_of_it},
    ) as command:  # fmt: skip
        ready = await command.line(process="tandem", event="ready")
        environ = {
            "TANDEM_CREATOR_ADDRESS": ready["creator"],
            "TANDEM_PROCESSOR_ADDRESS": ready["processor"],
        }
        yield Upright(command, environ)


ECHO = ("create", "--project", "shop", "--type", "echo", "--payload", '{"a": 1}')


async def test_it_serves_within_seconds_of_nothing(data: Path) -> None:
    start = time.monotonic()
    async with up(data) as running:
        [created] = await running.task(*ECHO)
        assert created["outcome"] == "OUTCOME_CREATED"
        assert time.monotonic() - start < START_LIMIT


async def test_the_guide_s_commands_run_the_guide_s_handler(
    data: Path, tmp_path: Path
) -> None:
    guide = (ROOT / "docs/guides.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "words.py").write_text(code)
    start, use = blocks("docs/guides.md", "Write a handler in twelve lines")
    start_words, create_words, list_words = (
        shlex.split(line)[1:] for line in (start.commands + use.commands).splitlines()
    )

    async with up(data, *start_words[1:], PYTHONPATH=str(tmp_path)) as running:
        await tandem(*create_words, environ=running.environ)
        [listed] = await running.task(*list_words[1:])
        watched = await running.task("watch", str(listed["task_id"]))
        shown = await tandem(
            "task", "get", str(listed["task_id"]), environ=running.environ
        )

    assert watched[-1]["status"]["state"] == "STATE_SUCCEEDED"
    assert '"words": 4' in shown.out


async def test_p11_ctrl_c_loses_no_task_and_spends_no_attempt(data: Path) -> None:
    async with standing_gate() as gate:
        payload = f'{{"gate": "{gate.address}"}}'
        create = ("create", "--project", "shop", "--type", "staged")
        async with up(data) as first:
            await first.task(*create, "--payload", payload)
            await gate.reached()
            first.command.press_ctrl_c()
            ended = await first.command.finished()
        assert ended.code == 0, ended.err
        assert ended.err == "" or "Traceback" not in ended.err

        async with up(data) as second:
            (await gate.reached()).close()
            [task] = await second.task("list", "--project", "shop")
            watched = await second.task("watch", str(task["task_id"]))
    status = watched[-1]["status"]
    assert isinstance(status, dict)
    assert status["state"] == "STATE_SUCCEEDED"
    assert status["attempt"] == 1


def test_ctrl_c_at_a_terminal_reaches_no_program_that_makes_a_cluster() -> None:
    session = Account.for_server().run("sh", "-c", "cut -d ' ' -f 6 /proc/$$/stat")

    assert int(session) != os.getsid(0)


async def test_a_service_that_dies_ends_everything_and_is_named(data: Path) -> None:
    async with up(data) as running:
        os.kill(_child(running.command.process.pid, "tandem_creator"), signal.SIGKILL)
        ended = await running.command.finished()
    assert ended.code == 1
    assert "creator-1 ended by itself" in ended.err
    assert "Traceback" not in ended.err


async def test_a_postgres_that_is_killed_ends_everything_and_is_named(
    data: Path,
) -> None:
    async with up(data) as running:
        os.kill(EmbeddedPostgres(data).pid(), signal.SIGKILL)
        ended = await running.command.finished()
    assert ended.code == 1
    assert "PostgreSQL" in ended.err
    assert "`tandem up` again" in ended.err
    assert "Traceback" not in ended.err


async def test_services_do_not_outlive_a_command_that_is_killed(data: Path) -> None:
    async with up(data) as running:
        pid = running.command.process.pid
        services = [_child(pid, f"tandem_{name}") for name in ("creator", "processor")]
        running.command.process.kill()
        for service in services:
            assert await asyncio.to_thread(_ends, os.pidfd_open(service))
    # The server outlives it, for whoever comes next.
    await asyncio.to_thread(EmbeddedPostgres(data).stop)


async def test_a_taken_port_is_one_line_and_exit_code_2(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await tandem("up", "--data", data, "--creator-listen", address)
    assert ended.code == 2
    assert address in ended.complaint()


async def test_a_server_where_nothing_listens_is_one_line_that_says_what_to_do(
    data: Path,
) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        url = f"postgresql://postgres:secret-word@{address}/postgres"
        ended = await tandem("up", "--data", data, "--admin-url", url)

    assert ended.code == 2
    assert "no PostgreSQL answers" in ended.complaint()
    assert "start it there, or give the URL of one that runs" in ended.complaint()
    assert "secret-word" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--handlers", "no_such_module:handlers", "no module no_such_module"),
        ("--handlers", "no_such.module:handlers", "cannot import no_such.module"),
        ("--handlers", "tandem.handlers", "of the form module:name"),
        ("--handlers", "tandem.handlers:nothing", "has no Handlers named nothing"),
        ("--processor-listen", "nowhere", "must be host:port, not 'nowhere'"),
        ("--creator-listen", "127.0.0.1:70000", "must be host:port"),
    ],
)
async def test_what_is_typed_wrong_is_named_before_anything_is_started(
    data: Path, option: str, value: str, said: str
) -> None:
    ended = await tandem("up", "--data", data, option, value)

    assert ended.code == 2
    assert f"'{option}'" in ended.complaint()
    assert said in ended.complaint()
    assert not _was_touched(data)


def _was_touched(data: Path) -> bool:
    return data.exists()


def _ends(pidfd: int) -> bool:
    """Whether the process behind it ends in time."""
    try:
        return bool(select.select([pidfd], [], [], START_LIMIT)[0])
    finally:
        os.close(pidfd)


def _child(pid: int, module: str) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    [found] = [
        int(child)
        for child in children
        if module in Path(f"/proc/{child}/cmdline").read_text()
    ]
    return found
