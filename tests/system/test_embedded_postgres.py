"""The embedded server, in real processes: shared, killed, and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from tandem.postgres.account import Account
from tandem.postgres.binaries import WHEEL, find_binaries, readable_binaries
from tandem.postgres.embedded import EmbeddedFailed, EmbeddedPostgres
from tandem.postgres.passwords import Passwords
from tests.support.cluster import reachable_folder
from tests.support.posix import ended, uid_of

LIMIT = 60.0
NOBODY = 65534

IS_ROOT = os.geteuid() == 0

# Uses the server until its standard input is closed.
USER = """
import sys
from pathlib import Path
from tandem.postgres.account import Account
from tandem.postgres.binaries import WHEEL, find_binaries, readable_binaries
from tandem.postgres.embedded import EmbeddedPostgres

embedded = EmbeddedPostgres(Path(sys.argv[1]))
with embedded.used():
    print(embedded.pid(), flush=True)
    sys.stdin.read()
"""

# The programs are loaded first: a plain user may not be able to read them.
PLAIN_USER = """
import os, sys
from pathlib import Path
from tandem.postgres.account import Account
from tandem.postgres.binaries import WHEEL, find_binaries, readable_binaries
from tandem.postgres.embedded import EmbeddedPostgres

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
embedded = EmbeddedPostgres(Path(sys.argv[1]))
with embedded.used():
    print(embedded.pid(), os.stat(f"/proc/{embedded.pid()}").st_uid, flush=True)
"""

# As process 1 of a container that reaps nobody: the killed server stays a zombie.
REAPS_NOBODY = """
import ctypes, os, signal, sys
from pathlib import Path
from tandem.postgres.account import Account
from tandem.postgres.binaries import WHEEL, find_binaries, readable_binaries
from tandem.postgres.embedded import EmbeddedPostgres

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
embedded = EmbeddedPostgres(Path(sys.argv[1]))
embedded.start()
first = embedded.pid()
os.kill(first, signal.SIGKILL)
os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
embedded.start()
print(first, embedded.pid(), flush=True)
embedded.stop()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture
def embedded(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder)
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def python(script: str, folder: Path, **environ: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(folder)),
        env=os.environ | environ,
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(process: Process) -> list[int]:
    """The numbers on the next line that a process prints."""
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        return [int(word) for word in (await process.stdout.readline()).split()]


async def leave(process: Process) -> None:
    """Let a user of the server end, and see it end well."""
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(LIMIT):
        assert await process.wait() == 0


async def count_rows(embedded: EmbeddedPostgres) -> int:
    connection = await asyncpg.connect(embedded.admin_url())
    try:
        return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await connection.close()


async def keep_a_row(embedded: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(embedded.admin_url())
    try:
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    finally:
        await connection.close()


async def test_rows_survive_a_kill(embedded: EmbeddedPostgres) -> None:
    await keep_a_row(embedded)
    killed = embedded.pid()
    os.kill(killed, signal.SIGKILL)

    embedded.start()

    assert embedded.pid() != killed
    assert await count_rows(embedded) == 1


async def test_rows_survive_a_kill_whose_number_another_process_has_by_now(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    """After a container's restart, low numbers are soon taken again."""
    await keep_a_row(embedded)
    killed = embedded.pid()
    os.kill(killed, signal.SIGKILL)
    await ended(killed)
    note = folder / "data" / "postmaster.pid"
    note.write_text(note.read_text().replace(str(killed), str(os.getpid()), 1))

    embedded.start()

    assert embedded.pid() not in {killed, os.getpid()}
    assert await count_rows(embedded) == 1


async def test_a_killed_server_that_nobody_reaps_comes_back(folder: Path) -> None:
    async with python(REAPS_NOBODY, folder) as process:
        first, second = await told(process)

        assert first != second
        await leave(process)


async def test_four_processes_at_once_share_one_server(folder: Path) -> None:
    async with (
        python(USER, folder) as a,
        python(USER, folder) as b,
        python(USER, folder) as c,
        python(USER, folder) as d,
    ):
        pids = [await told(user) for user in (a, b, c, d)]
        assert len({pid for (pid,) in pids}) == 1

        for user in (a, b, c):
            await leave(user)
        assert EmbeddedPostgres(folder).pid() == pids[0][0]

        await leave(d)
    with pytest.raises(EmbeddedFailed, match="no server runs"):
        EmbeddedPostgres(folder).pid()


async def test_a_killed_user_counts_no_more(folder: Path) -> None:
    async with python(USER, folder) as killed, python(USER, folder) as last:
        (pid,) = await told(killed)
        await told(last)
        killed.kill()
        await killed.wait()
        assert EmbeddedPostgres(folder).pid() == pid

        await leave(last)

    with pytest.raises(EmbeddedFailed, match="no server runs"):
        EmbeddedPostgres(folder).pid()


async def test_a_server_left_by_killed_users_is_found_and_stopped(
    folder: Path,
) -> None:
    async with python(USER, folder) as killed:
        (pid,) = await told(killed)
        killed.kill()
        await killed.wait()

    embedded = EmbeddedPostgres(folder)
    with embedded.used():
        assert embedded.pid() == pid
    await ended(pid)


async def test_a_plain_user_runs_its_own_server(folder: Path) -> None:
    plain = Account(NOBODY, NOBODY) if IS_ROOT else Account.for_server()
    plain.own(folder, mode=0o700)
    programs = readable_binaries(find_binaries(), plain, copies=folder / "programs")
    async with python(
        PLAIN_USER, folder / "cluster", PG_BINDIR=str(programs.folder)
    ) as process:
        _, uid = await told(process)

        assert uid == plain.uid
        await leave(process)


async def test_the_server_never_runs_as_root(embedded: EmbeddedPostgres) -> None:
    assert uid_of(embedded.pid()) != 0


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_nobody_gets_in_without_the_password(
    embedded: EmbeddedPostgres, password: str
) -> None:
    url = embedded.url("postgres", password, "postgres")

    with pytest.raises(
        (asyncpg.InvalidPasswordError, asyncpg.InterfaceError), match="password"
    ):
        await asyncpg.connect(url)


async def test_every_way_in_asks_for_a_password(embedded: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(embedded.admin_url())
    ways = await connection.fetch("SELECT auth_method FROM pg_hba_file_rules")
    await connection.close()

    assert {way["auth_method"] for way in ways} == {"scram-sha-256"}


@pytest.mark.parametrize("address", ["", "127.0.0.1"], ids=["socket", "loopback"])
async def test_it_listens_on_the_socket_or_loopback_only(
    folder: Path, address: str
) -> None:
    embedded = EmbeddedPostgres(
        folder,
        port=free_port() if address else 0,
        settings={"listen_addresses": "*", "work_mem": "5MB"},
    )
    with embedded.used():
        connection = await asyncpg.connect(embedded.admin_url())
        assert await connection.fetchval("SHOW listen_addresses") == address
        assert await connection.fetchval("SHOW work_mem") == "5MB"
        await connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_a_folder_is_a_server_of_its_own(
    embedded: EmbeddedPostgres,
) -> None:
    with reachable_folder() as other_folder:
        other = EmbeddedPostgres(other_folder)
        with other.used():
            assert other.pid() != embedded.pid()
            assert other.admin_url() != embedded.admin_url()


async def test_others_cannot_look_into_the_folder(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    for path in (folder, folder / "data", folder / "socket"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    password = folder / "superuser.password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600


async def test_a_folder_closed_to_the_server_still_names_one(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    embedded = EmbeddedPostgres(closed / "named")
    link = closed / "named" / "cluster"
    try:
        with embedded.used():
            await keep_a_row(embedded)
        with embedded.used():
            assert await count_rows(embedded) == 1
        assert link.is_symlink() == IS_ROOT
    finally:
        if link.is_symlink():
            shutil.rmtree(link.readlink())


async def test_a_long_path_gets_a_socket_elsewhere(folder: Path) -> None:
    embedded = EmbeddedPostgres(folder / ("x" * 120))
    with embedded.used():
        await keep_a_row(embedded)
        assert await count_rows(embedded) == 1


async def test_a_failed_start_says_why_and_counts_nobody(folder: Path) -> None:
    broken = EmbeddedPostgres(folder, settings={"work_mem": "nonsense"})
    with pytest.raises(EmbeddedFailed, match="work_mem"):
        broken.acquire()

    with EmbeddedPostgres(folder).used():
        pass
    with pytest.raises(EmbeddedFailed, match="no server runs"):
        broken.pid()


async def test_data_of_another_major_version_is_refused(
    embedded: EmbeddedPostgres, folder: Path
) -> None:
    embedded.stop()
    (folder / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedFailed, match="was made by PostgreSQL 9"):
        embedded.start()


async def test_programs_in_a_closed_folder_are_copied_out_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a virtual environment in root's home."""
    embedded = EmbeddedPostgres(folder)
    with reachable_folder() as closed:
        programs = copy_of_the_wheels_programs(closed)
        monkeypatch.setenv("PG_BINDIR", str(programs))
        with embedded.used():
            await keep_a_row(embedded)
        with embedded.used():
            assert await count_rows(embedded) == 1

    assert (folder / "binaries").exists() == IS_ROOT


def copy_of_the_wheels_programs(to: Path) -> Path:
    spec = find_spec(WHEEL)
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    newest = max(package.glob("pginstall*"), key=lambda path: len(path.name))
    shutil.copytree(newest, to / package.name / newest.name, symlinks=True)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), to / libraries)
    return to / package.name / newest.name / "bin"


def test_a_wrong_bindir_is_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_BINDIR", "/nowhere")

    with pytest.raises(EmbeddedFailed, match="PG_BINDIR names /nowhere"):
        EmbeddedPostgres(folder).start()


def test_credentials_are_made_once_and_private(folder: Path) -> None:
    path = folder / "credentials.json"

    made = Passwords.load_or_create(path)

    assert Passwords.load_or_create(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.creator not in repr(made)
