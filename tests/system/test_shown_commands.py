"""Commands that documents show, run as they stand there but for ports, names and secrets."""

from __future__ import annotations

import json
import re
import shlex
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from tandem.client import AsyncClient, Credentials, Spec
from tandem.errors import Unauthenticated
from tests.support.cluster import (
    PASSWORDS,
    Cluster,
    Database,
    drop_database,
    reachable_folder,
)
from tests.support.collector import running_collector
from tests.support.command import Standing
from tests.support.documented import blocks, command, inline
from tests.support.issuer import Issuer
from tests.support.keys import a_key
from tests.support.running_pair import ROOT, handlers_path
from tests.support.shell import shell, standing_shell
from tests.support.tools import needs
from tests.support.until import until
from tests.system.test_tls_pair import Shown

JANITOR: Final = "postgresql://tandem_janitor:…@db/tandem"

FREE: Final = "--creator-listen 127.0.0.1:0 --processor-listen 127.0.0.1:0"

SPEC: Final = Spec(project="billing", type="idle")

BESIDE_UP: Final = (
    "task watch",
    "task cancel",
    "task retry",
    "queue pause",
    "stats",
    "doctor",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a reader has saved the README's handler."""
    with reachable_folder() as folder:
        text = (ROOT / "README.md").read_text()
        [block] = re.findall(
            r"^## A handler\n+```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL
        )
        (folder / "articles.py").write_text(block)
        yield folder


@asynccontextmanager
async def up(
    text: str, *, folder: Path
) -> AsyncIterator[tuple[Standing, dict[str, str]]]:
    """What brings up a pair, and the environment that leads other commands to it."""
    async with standing_shell(text, folder=folder) as standing:
        ready = await standing.line(process="tandem", event="ready")
        yield (
            standing,
            {
                "TANDEM_CREATOR_ADDRESS": ready["creator"],
                "TANDEM_PROCESSOR_ADDRESS": ready["processor"],
            },
        )


@asynccontextmanager
async def started(text: str, database_url: str, **environ: str) -> AsyncIterator[str]:
    """The address of a service."""
    given = {
        "TANDEM_DATABASE_URL": database_url,
        "TANDEM_LISTEN": "127.0.0.1:0",
        "TANDEM_LOG": "json",
        **environ,
    }
    async with standing_shell(text, environ=given) as standing:
        serving = await standing.line(event="serving")
        yield f"127.0.0.1:{serving['port']}"


def _readme(start: str) -> str:
    """A command of the README, as it is typed where the program is on the path."""
    shown = command("README.md", f".venv/bin/tandem {start}")
    return shown.removeprefix(".venv/bin/")


async def test_make_up_leads_to_a_processed_task(folder: Path) -> None:
    make, create, list_ = (
        command("README.md", start)
        for start in ("make up", ".venv/bin/tandem task cr", ".venv/bin/tandem task li")
    )
    arguments = f"--data {folder}/data {FREE}"
    async with up(f"{make} ARGS='{arguments}'", folder=ROOT) as (standing, environ):
        created = await shell(create, environ=environ)
        task_id, outcome = created.out.split()

        async def processed() -> bool:
            listed = await shell(list_, environ=environ)
            return bool(re.search(rf"{task_id} +echo +SUCCEEDED", listed.out))

        assert outcome == "created"
        assert await until(processed, seconds=30)
        standing.press_ctrl_c()
        ended = await standing.finished()

    assert '"stopped"' in ended.out.splitlines()[-1]
    host, _, port = environ["TANDEM_CREATOR_ADDRESS"].rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


async def test_the_readme_s_commands_do_what_they_say_beside_up(folder: Path) -> None:
    bring_up = f"{_readme('up')} {FREE}"
    async with up(bring_up, folder=folder) as (_, environ):

        async def said(text: str, **values: str) -> str:
            for old, new in values.items():
                text = text.replace(old, new)
            ended = await shell(text, folder=folder, environ=environ)
            assert ended.code == 0, ended
            return ended.out

        create = _readme("task create").partition(" --request-id")[0]
        create = create.replace("--type echo", "--type blog_post")
        watch, cancel, retry, pause, stats, doctor = map(_readme, BESIDE_UP)
        task_id = (await said(create)).split()[0]
        assert "SUCCEEDED" in await said(watch, TASK_ID=task_id)
        get = inline("docs/guides.md", "tandem task get")
        assert '"page": "<p>On Tea.</p>"' in await said(get, TASK_ID=task_id)

        assert await said(pause) == "default  paused\n"
        waits = (await said(create)).split()[0]
        assert "CANCELLED" in await said(cancel, TASK_ID=waits)
        assert "PENDING" in await said(retry, TASK_ID=waits)
        assert re.search(r"default.* PENDING +1\b", await said(stats))
        found = await said(doctor)
        assert {line.split()[0] for line in found.splitlines()} == {"ok"}
        # As the page on starting has them, too.
        *_, look_around = blocks("docs/start.md")
        assert look_around.commands.replace(".venv/bin/", "").split("\n")[:2] == [
            stats,
            doctor,
        ]
        stream = standing_shell(_readme("stream"), folder=folder, environ=environ)
        async with stream as streaming:
            for _ in range(2):
                await streaming.line()
        assert [line.strip() for line in streaming.lines] == [task_id, waits]


async def test_a_processor_starts_with_handlers_as_shown(
    folder: Path, database: Database
) -> None:
    environ = {
        "TANDEM_DATABASE_URL": database.processor_url,
        "TANDEM_LISTEN": "127.0.0.1:0",
        "TANDEM_LOG": "json",
    }
    text = _readme("processor")
    async with standing_shell(text, folder=folder, environ=environ) as standing:
        await standing.line(event="serving")
        async with database.admin() as admin:
            types = await admin.fetchval("SELECT p.types FROM tandem.processors AS p")

    assert types == ["blog_post"]


@needs("grpcurl")
async def test_a_key_is_made_and_asked_for_and_shown_as_the_page_says(
    database: Database,
) -> None:
    export, create, serve, ask = (
        command("docs/access.md", start)
        for start in ("export", "tandem key", "TANDEM_AUTH=key", "grpcurl")
    )
    _, _, url = export.partition("=")
    export = export.replace(url, shlex.quote(database.owner_url))
    key = (await shell(f"{export}\n{create}")).out.strip()
    async with started(serve, database.creator_url) as creator:
        async with AsyncClient(creator, credentials=Credentials(token=key)) as client:
            made = await client.create(SPEC)
        async with AsyncClient(creator) as nobody:
            with pytest.raises(Unauthenticated):
                await nobody.create(SPEC)
        processor = started(
            "tandem processor",
            database.processor_url,
            TANDEM_AUTH="key",
            TANDEM_HANDLERS="tests.support.system_handlers:handlers",
            TANDEM_CREATOR_ADDRESS=creator,
            TANDEM_CLIENT_TOKEN=await a_key(database, "process:*"),
            PYTHONPATH=handlers_path(),
        )
        async with processor as address:
            ask = ask.replace("tandem_5f0c1d9b7a3e2468_...", key)
            listed = await shell(ask.replace("localhost:7102", address))

    [task] = json.loads(listed.out)["tasks"]
    assert task["taskId"] == made.task.task_id


async def test_a_creator_that_asks_for_tokens_starts_as_shown(
    database: Database, tmp_path: Path
) -> None:
    issuer, keys = Issuer(), tmp_path / "jwks.json"
    issuer.write(keys)
    text = command("docs/access.md", "TANDEM_AUTH=jwt")
    [named] = re.findall(r"TANDEM_JWT_ISSUER=(\S+)", text)
    [place] = re.findall(r"TANDEM_JWT_JWKS=(\S+)", text)
    token = issuer.token(iss=named, scope="create:billing read:billing")
    async with started(text.replace(place, str(keys)), database.creator_url) as creator:
        async with AsyncClient(creator, credentials=Credentials(token=token)) as client:
            made = await client.create(SPEC)
        async with AsyncClient(creator) as nobody:
            with pytest.raises(Unauthenticated):
                await nobody.create(SPEC)

    assert made.task.task_id


async def test_a_creator_and_its_probe_start_over_tls_as_shown(
    database: Database, tmp_path: Path
) -> None:
    shown = Shown(tmp_path, "no-key")
    serve, probe = (
        command("docs/tls.md", start) for start in ("TANDEM_TLS_CERT", "python -m")
    )
    for old, new in (("tls.crt", "cert"), ("tls.key", "key"), ("clients-ca.crt", "ca")):
        serve = serve.replace(f"/etc/tandem/{old}", str(shown.files[new]))
    async with started(serve, database.creator_url) as creator:
        probe = probe.replace("7101", creator.rpartition(":")[2])
        known = await shell(probe, environ=shown.client)
        unknown = await shell(probe)
        of_a_pod = inline("docs/deployment.md", "python -m tandem.health")
        of_a_pod = of_a_pod.replace("7101", creator.rpartition(":")[2])
        here = await shell(of_a_pod, environ=shown.client)

    assert (known.code, unknown.code, here.code) == (0, 1, 0)


async def test_four_processes_share_an_address_as_shown(database: Database) -> None:
    environ = {
        "TANDEM_DATABASE_URL": database.creator_url,
        "TANDEM_LISTEN": "127.0.0.1:0",
        "TANDEM_LOG": "json",
    }
    text = inline("docs/operations.md", "tandem creator --processes")
    async with standing_shell(text, environ=environ) as standing:
        ports = [(await standing.line(event="serving"))["port"] for _ in range(4)]
        async with AsyncClient(f"127.0.0.1:{ports[0]}") as client:
            made = await client.create(SPEC)

    assert made.task.task_id
    assert ports == [ports[0]] * 4


@needs("grpcurl")
async def test_a_creator_s_trace_begins_with_its_caller_as_shown(
    database: Database,
) -> None:
    serve, ask = (
        command("docs/traces.md", start) for start in ("TANDEM_TRACES", "grpcurl")
    )
    [trace_id] = re.findall(r"traceparent: 00-(\w+)-", ask)
    async with running_collector() as collector:
        endpoint = collector.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
        serve = serve.replace("http://collector:4317", endpoint)
        async with started(
            serve, database.creator_url, OTEL_BSP_SCHEDULE_DELAY="10"
        ) as creator:
            created = await shell(ask.replace("127.0.0.1:7101", creator))
            told = await collector.whole(trace_id, 2)

    assert json.loads(created.out)["outcome"] == "OUTCOME_CREATED"
    assert {span.service for span in told} == {"tandem-creator"}


async def test_an_installation_is_made_as_shown(cluster: Cluster) -> None:
    name = f"tandem_{uuid4().hex}"
    text = command("docs/operations.md", "TANDEM_ADMIN_URL")
    text = _with_url(text, "postgres", cluster.admin_url)
    text = re.sub(
        r"(TANDEM_(\w+)_PASSWORD=)…",
        lambda found: found[1] + PASSWORDS.of(f"tandem_{found[2].lower()}"),
        text,
    )
    try:
        made = await shell(f"{text} --database {name}")
    finally:
        await drop_database(cluster, name)

    assert made.out.startswith("applied 0001_tasks.sql"), made


async def test_the_doctor_looks_through_logins_as_shown(database: Database) -> None:
    text = command("docs/operations.md", "tandem doctor")
    text = _with_url(text, "tandem_creator", database.creator_url)
    text = _with_url(text, "tandem_processor", database.processor_url)
    async with started("tandem creator", database.creator_url):
        ended = await shell(text)

    # The server of a test run need not survive a crash of the machine.
    found = re.findall(r"^found +([\w ]+):", ended.out, re.MULTILINE)
    assert (set(found) - {"settings of the server"}, ended.err) == (set(), "")
    assert re.search(r"^ok +privileges of the creator$", ended.out, re.MULTILINE)
    assert re.search(r"^ok +privileges of the processor$", ended.out, re.MULTILINE)


async def test_pruning_runs_as_shown(database: Database) -> None:
    start = f"TANDEM_JANITOR_URL={JANITOR} tandem prune"
    dry, steady = (
        command("docs/operations.md", f"{start} {option}").replace(
            JANITOR, shlex.quote(database.janitor_url)
        )
        for option in ("--dry-run", "--every")
    )
    ended = await shell(dry)
    async with standing_shell(steady) as standing:
        await standing.line()

    assert ended.out.startswith("would prune: 0 stripped")
    assert standing.lines[0].startswith("pruned: 0 stripped")


@needs("openssl")
async def test_the_passwords_of_compose_are_made_as_shown(tmp_path: Path) -> None:
    text = command("docs/deployment.md", "umask")
    ended = await shell(text, folder=tmp_path)

    assert ended.code == 0, ended
    file = tmp_path / ".env"
    made = dict(line.split("=") for line in file.read_text().splitlines())
    compose = (ROOT / "docker-compose.yml").read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(made) == set(re.findall(r"TANDEM_\w+_PASSWORD\b", compose))
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in made.values())
    assert len(set(made.values())) == len(made)


@needs("openssl")
async def test_what_is_in_the_file_of_compose_before_stays_there(
    tmp_path: Path,
) -> None:
    text = command("docs/deployment.md", "umask")
    file = tmp_path / ".env"
    file.write_text("TANDEM_HANDLERS=mine:handlers\n")
    await shell(text, folder=tmp_path)
    once = file.read_text()
    ended = await shell(text, folder=tmp_path)

    assert ended.code == 0, ended
    assert file.read_text() == once
    first, *passwords = once.splitlines()
    assert (first, len(passwords)) == ("TANDEM_HANDLERS=mine:handlers", 6)


def _with_url(text: str, login: str, url: str) -> str:
    """The URL in place of the one that is shown for this login."""
    return re.sub(
        rf"postgresql://{login}:\S+", lambda _: shlex.quote(url), text, count=1
    )
