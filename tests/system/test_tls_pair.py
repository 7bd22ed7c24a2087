"""A pair over mutual TLS that asks for keys: everything of ours can call it, and nobody else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tandem.client import AsyncClient, Client, Created, Credentials, Spec, state_of
from tandem.errors import Unauthenticated
from tandem.pair import ANY_PORT, Logins, Pair
from tandem.states import TaskState
from tests.support.certificates import Authority
from tests.support.cluster import Database
from tests.support.command import tandem
from tests.support.keys import EVERYTHING, a_key
from tests.support.running_pair import RunningPair, handlers_path, running_pair
from tests.support.service_logs import ServiceLogs
from tests.support.tools import needs

HANDLERS: Final = "tests.support.system_handlers:handlers"

LIMIT: Final = 30.0


class Shown:
    """Files of one authority, and a key, as the services and their callers have them."""

    def __init__(self, folder: Path, key: str) -> None:
        authority = Authority()
        service, client = authority.sign("service"), authority.sign("client")
        self.files = {
            name: folder / f"{name}.pem"
            for name in ("ca", "cert", "key", "client_cert", "client_key")
        }
        self.token_file = folder / "token"
        self.token_file.write_text(f"{key}\n")
        for name, pem in (
            ("ca", authority.pem),
            ("cert", service.certificate),
            ("key", service.key),
            ("client_cert", client.certificate),
            ("client_key", client.key),
        ):
            self.files[name].write_bytes(pem)

    @property
    def server(self) -> Mapping[str, str]:
        """What a service is told."""
        return {
            "TANDEM_AUTH": "key",
            "TANDEM_TLS_CERT": str(self.files["cert"]),
            "TANDEM_TLS_KEY": str(self.files["key"]),
            "TANDEM_TLS_CLIENT_CA": str(self.files["ca"]),
        }

    @property
    def client(self) -> Mapping[str, str]:
        """What a caller is told."""
        return {
            "TANDEM_CLIENT_CA": str(self.files["ca"]),
            "TANDEM_CLIENT_CERT": str(self.files["client_cert"]),
            "TANDEM_CLIENT_KEY": str(self.files["client_key"]),
            "TANDEM_CLIENT_TOKEN_FILE": str(self.token_file),
        }

    @property
    def credentials(self) -> Credentials:
        return Credentials.from_environ(self.client)


@pytest.fixture
async def shown(database: Database, tmp_path: Path) -> Shown:
    return Shown(tmp_path, await a_key(database, *EVERYTHING))


@pytest.fixture
async def pair(database: Database, shown: Shown) -> AsyncIterator[RunningPair]:
    environ = {**shown.server, **shown.client}
    async with running_pair(
        database, handlers=HANDLERS, environ=environ, creators=1, processors=1
    ) as pair:
        yield pair


def addresses(pair: RunningPair) -> tuple[str, str]:
    return pair.pair.creators[0].address, pair.pair.processors[0].address


async def test_a_task_is_created_and_processed_by_both_clients(
    pair: RunningPair, shown: Shown
) -> None:
    creator, processor = addresses(pair)

    def blocking() -> TaskState | None:
        with Client(creator, processor, credentials=shown.credentials) as client:
            made = client.create(Spec(project="shop", type="echo", payload={}))
            *_, last = client.watch(made.task.task_id, within=LIMIT)
            return state_of(last)

    async with AsyncClient(creator, processor, credentials=shown.credentials) as client:
        made = await client.create(Spec(project="shop", type="echo", payload={}))
        ended = await final(client, made)
        listed = [task.task_id async for task in client.list("shop")]

    assert ended is await asyncio.to_thread(blocking) is TaskState.SUCCEEDED
    assert listed == [made.task.task_id]


async def test_commands_and_the_probe_call_over_tls(
    pair: RunningPair, shown: Shown
) -> None:
    creator, processor = addresses(pair)
    environ = {
        **shown.client,
        "TANDEM_CREATOR_ADDRESS": creator,
        "TANDEM_PROCESSOR_ADDRESS": processor,
    }

    made = await tandem(
        *("task", "create", "--project", "shop", "--type", "echo", "--json"),
        environ=environ,
    )
    listed = await tandem(
        "task", "list", "--project", "shop", "--json", environ=environ
    )
    healthy = await probe(creator, shown.client)
    unhealthy = await probe(creator, {})

    assert (made.code, listed.code) == (0, 0), made.err + listed.err
    assert (healthy, unhealthy) == (0, 1)


async def probe(address: str, environ: Mapping[str, str]) -> int:
    probing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tandem.health", address),
        env=dict(environ),
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await asyncio.wait_for(probing.wait(), LIMIT)


async def test_a_command_is_told_what_is_wrong_with_its_credentials(
    pair: RunningPair, shown: Shown, tmp_path: Path
) -> None:
    creator, _ = addresses(pair)
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority().pem)
    wrong: list[tuple[Mapping[str, str], str]] = [
        ({}, "closes the connection at once: if it speaks TLS"),
        (
            {**shown.client, "TANDEM_CLIENT_CA": str(stranger)},
            "shows a certificate that is not trusted",
        ),
        (
            {**shown.client, "TANDEM_CLIENT_TOKEN_FILE": ""},
            "UNAUTHENTICATED: this call needs valid credentials",
        ),
        (
            {**shown.client, "TANDEM_CLIENT_KEY": ""},
            "TANDEM_CLIENT_CERT and TANDEM_CLIENT_KEY go together",
        ),
    ]

    said = [
        await tandem(
            *("task", "create", "--project", "shop", "--type", "echo"),
            environ={**environ, "TANDEM_CREATOR_ADDRESS": creator},
        )
        for environ, _ in wrong
    ]

    for finished, (_, words) in zip(said, wrong, strict=True):
        # gRPC itself writes of a handshake that failed, before the one line of ours.
        assert words in finished.err.splitlines()[-1]
        assert finished.code in {1, 2}


@needs("grpcurl")
async def test_grpcurl_calls_with_a_certificate_and_a_key(
    pair: RunningPair, shown: Shown
) -> None:
    creator, _ = addresses(pair)
    files = [
        *("-cacert", str(shown.files["ca"]), "-cert", str(shown.files["client_cert"])),
        *("-key", str(shown.files["client_key"])),
    ]
    token = ["-H", f"authorization: Bearer {shown.token_file.read_text().strip()}"]

    codes = [
        await grpcurl(*options, creator, "list")
        for options in ([*files, *token], files, ["-plaintext", *token])
    ]

    assert codes[0] == 0
    assert 0 not in codes[1:]


async def grpcurl(*arguments: str) -> int:
    running = await asyncio.create_subprocess_exec(
        *("grpcurl", "-connect-timeout", "5", *arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await asyncio.wait_for(running.wait(), LIMIT)


async def test_a_processor_takes_up_a_token_that_was_renewed(
    database: Database, shown: Shown
) -> None:
    right = shown.token_file.read_text()
    shown.token_file.write_text(await a_key(database, *EVERYTHING, is_revoked=True))
    async with running_pair(
        database,
        handlers=HANDLERS,
        environ={**shown.server, **shown.client},
        creators=1,
        processors=1,
    ) as pair:
        creator, processor = addresses(pair)
        await pair.logs.first(event="no stream of created ids", why="UNAUTHENTICATED")
        async with AsyncClient(
            creator, processor, credentials=shown.credentials
        ) as client:
            with pytest.raises(Unauthenticated):
                await client.create(Spec(project="shop", type="echo", payload={}))
            shown.token_file.write_text(right)
            made = await client.create(Spec(project="shop", type="echo", payload={}))
            ended = await final(client, made)
        complaints = pair.logs.having(event="no stream of created ids")

    assert ended is TaskState.SUCCEEDED
    assert len(complaints) == 1
    assert right.strip() not in pair.logs.text()


async def test_several_processes_on_one_address_speak_tls(
    database: Database, shown: Shown
) -> None:
    async with running_pair(
        database,
        handlers=HANDLERS,
        environ={**shown.server, **shown.client, "TANDEM_PROCESSES": "2"},
        creators=1,
        processors=1,
    ) as pair:
        creator, processor = addresses(pair)
        for _ in range(4):
            async with AsyncClient(
                creator, processor, credentials=shown.credentials
            ) as client:
                made = await client.create(Spec(project="shop", type="echo"))
                ended = await final(client, made)

    assert ended is TaskState.SUCCEEDED


async def final(client: AsyncClient, made: Created) -> TaskState | None:
    """The state in which the task ends."""
    seen = [task async for task in client.watch(made.task.task_id, within=LIMIT)]
    return state_of(seen[-1])


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("creator", "TANDEM_TLS_CERT"),
        ("processor", "TANDEM_TLS_KEY"),
        ("processor", "TANDEM_CLIENT_CA"),
        ("processor", "TANDEM_CLIENT_TOKEN_FILE"),
    ],
)
async def test_a_file_that_is_wrong_ends_the_start_before_the_database_is_asked(
    tmp_path: Path, service: str, variable: str
) -> None:
    shown = Shown(tmp_path, "a-key")
    wrong = tmp_path / "wrong"
    wrong.write_text("not what it should be")

    ended = await tandem(
        service,
        environ={
            **shown.server,
            **shown.client,
            "TANDEM_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
            "TANDEM_LISTEN": "127.0.0.1:0",
            "TANDEM_HANDLERS": HANDLERS,
            variable: str(wrong),
        },
    )

    assert ended.code == 2
    last = ended.err.splitlines()[-1]
    assert variable in last
    assert "not what" not in ended.err + ended.out


async def test_a_processor_in_the_clear_is_told_that_its_creator_speaks_tls(
    database: Database, shown: Shown
) -> None:
    logs = ServiceLogs()
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    async with Pair(logins, handlers=HANDLERS, on_line=logs.add) as pair:
        secure = {"TANDEM_LOG": "json", **shown.server, **shown.client}
        await pair.start_creators([ANY_PORT], environ=secure)
        clear = {"TANDEM_LOG": "json", "PYTHONPATH": handlers_path()}
        await pair.start_processors([ANY_PORT], environ=clear)
        told = await logs.first(event="no stream of created ids", why="UNAVAILABLE")

    assert "set TANDEM_CLIENT_CA" in told["advice"]
