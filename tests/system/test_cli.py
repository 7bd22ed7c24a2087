"""Each command: what it prints, its exit code, and one line for what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tandem.client import request_id_from
from tests.support.cluster import PASSWORDS, Cluster, Database, drop_database
from tests.support.command import Finished, standing, tandem
from tests.support.running_pair import RunningPair

NOBODY = "127.0.0.1:9"
"""The discard port: nothing listens there."""

CREATE = ("task", "create", "--project", "a", "--type", "b")

SECRETS = {
    "TANDEM_OWNER_PASSWORD": PASSWORDS.owner,
    "TANDEM_CREATOR_PASSWORD": PASSWORDS.creator,
    "TANDEM_PROCESSOR_PASSWORD": PASSWORDS.processor,
    "TANDEM_JANITOR_PASSWORD": PASSWORDS.janitor,
}


@pytest.fixture
def environ(pair: RunningPair) -> Mapping[str, str]:
    return {
        "TANDEM_CREATOR_ADDRESS": pair.pair.creator_address,
        "TANDEM_PROCESSOR_ADDRESS": pair.pair.processor_address,
    }


async def test_a_task_is_created_watched_shown_listed_and_streamed(
    environ: Mapping[str, str],
) -> None:
    create = ("task", "create", "--project", "shop", "--type", "echo")
    details = ("--payload", '{"topic": "Tea"}', "--label", "user=7", "--title", "Tea")
    ids = ("--request-id", "first", "--external-id", "wf-1")
    for outcome in ("CREATED", "REPLAYED"):
        ended = await tandem("--json", *create, *details, *ids, environ=environ)
        [made] = ended.json_lines()
        assert made["outcome"] == f"OUTCOME_{outcome}"
    assert made["request_id"] == request_id_from("first")
    task_id = made["task"]["task_id"]

    watched = await tandem("task", "watch", task_id, "--json", environ=environ)
    assert watched.json_lines()[-1]["status"]["state"] == "STATE_SUCCEEDED"

    shown = await tandem("task", "get", task_id, environ=environ)
    for text in (task_id, "SUCCEEDED", "wf-1", "user=7", '"topic": "Tea"'):
        assert text in shown.out

    listed = await tandem(
        "task", "list", "--project", "shop", "--state", "succeeded",
        "--label", "user=7", "--external-id-prefix", "wf-", environ=environ,
    )  # fmt: skip
    assert task_id in listed.out
    assert "1 of 1" in listed.out

    streamed = await tandem("stream", "--until-caught-up", environ=environ)
    assert streamed.out.split() == [task_id]
    assert "--resume-token" in streamed.complaint()


async def test_a_task_is_cancelled_and_retried_and_its_queue_paused_and_resumed(
    environ: Mapping[str, str],
) -> None:
    create = ("--json", "task", "create", "--project", "shop", "--type", "echo")
    paused = await tandem("queue", "pause", "default", environ=environ)
    assert paused.out == "default  paused\n"
    [made] = (await tandem(*create, environ=environ)).json_lines()
    task_id = made["task"]["task_id"]

    cancel = ("task", "cancel", task_id, "--attempt", "0", "--comment", "twice")
    ended = await tandem(*cancel, environ=environ)
    assert ended.out == f"{task_id}  CANCELLED, attempt 0\n"
    shown = await tandem("task", "get", task_id, environ=environ)
    assert "twice" in shown.out
    other = await tandem(
        "--json", "task", "retry", task_id, "--attempt", "7", environ=environ
    )
    assert other.json_lines()[0]["status"]["state"] == "STATE_CANCELLED"
    back = await tandem("task", "retry", task_id, environ=environ)
    assert back.out == f"{task_id}  PENDING, attempt 0\n"

    resumed = await tandem("--json", "queue", "resume", "default", environ=environ)
    assert resumed.json_lines() == [{"queue": "default", "paused": False}]
    watched = await tandem("task", "watch", task_id, "--json", environ=environ)
    assert watched.json_lines()[-1]["status"]["state"] == "STATE_SUCCEEDED"
    refused = await tandem("task", "retry", task_id, environ=environ)
    _assert_failed(refused, 1, "TRANSITION_REFUSED", "SUCCEEDED")


async def test_the_stats_are_tables_for_people_and_json_for_machines(
    environ: Mapping[str, str],
) -> None:
    create = ("--json", "task", "create", "--project", "shop", "--queue", "slow")
    await tandem(*create, "--type", "echo", environ=environ)

    shown = await tandem("stats", "--project", "shop", environ=environ)
    [counted] = (await tandem("--json", "stats", environ=environ)).json_lines()

    assert shown.code == 0, shown.err
    for words in (("slow", "PENDING", "1"), ("processors", "1"), ("LIVE", "echo")):
        assert any(
            all(word in line for word in words) for line in shown.out.splitlines()
        )
    assert [queue["queue"] for queue in counted["queues"]] == ["slow"]
    assert len(counted["days"]) == 7
    assert counted["days"][0]["created"] == "1"
    assert len(counted["processors"]) == 2


async def test_the_stream_goes_on_live_and_from_a_token(
    environ: Mapping[str, str], pair: RunningPair
) -> None:
    create = ("--json", "task", "create", "--project", "shop", "--type", "idle")
    async with standing("--json", "stream", environ=environ) as live:
        [first] = (await tandem(*create, environ=environ)).json_lines()
        task_id = first["task"]["task_id"]
        line = await live.line(task_ids=[task_id])
    [second] = (await tandem(*create, environ=environ)).json_lines()

    resumed = await tandem(
        "--json", "stream", "--until-caught-up",
        "--resume-token", line["resume_token"], environ=environ,
    )  # fmt: skip
    ids = [id_ for line in resumed.json_lines() for id_ in line.get("task_ids", ())]
    assert ids == [second["task"]["task_id"]]


async def test_a_payload_comes_from_a_file_or_standard_input(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"a": [1, "ü", null]}')
    create = ("--json", "task", "create", "--project", "shop", "--type", "idle")
    request = ("--request-id", str(uuid4()))
    for payload, given in ((f"@{path}", ""), ("-", path.read_text())):
        ended = await tandem(
            *create, *request, "--payload", payload, environ=environ, given=given
        )
        assert '"payload": {"a": [1, "ü", null]}' in ended.out


async def test_a_refusal_is_one_line_with_its_reason_and_exit_code_1(
    environ: Mapping[str, str],
) -> None:
    create = ("task", "create", "--project", "shop", "--type", "idle")
    for payload in ('{"a": 1}', '{"a": 2}'):
        ended = await tandem(
            *create, "--request-id", "x", "--payload", payload, environ=environ
        )
    _assert_failed(ended, 1, "REQUEST_ID_REUSED", "spec.payload.a")
    ended = await tandem("task", "get", str(uuid4()), environ=environ)
    _assert_failed(ended, 1, "TASK_NOT_FOUND")
    ended = await tandem("task", "list", "--project", "a b", environ=environ)
    _assert_failed(ended, 1, "INVALID_REQUEST", "project")
    ended = await tandem("stream", "--resume-token", "nonsense", environ=environ)
    assert ended.code == 1
    assert "resume_token" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task", "list"], "--project"),
        (["task", "nonsense"], "nonsense"),
        (["nonsense"], "nonsense"),
        (["task", "create", "--project", "a", "--type", "b", "--payload", "{"], "JSON"),
        (
            ["task", "create", "--project", "a", "--type", "b", "--payload", "[]"],
            "JSON",
        ),
        (
            ["task", "create", "--project", "a", "--type", "b", "--payload", "@/none"],
            "/none",
        ),
        (["task", "create", "--project", "a", "--type", "b", "--label", "x"], "key="),
        ([*CREATE, "--title", "\udcff"], "is not UTF-8 text"),
        ([*CREATE, "--delay", "nan"], "number of seconds"),
        ([*CREATE, "--attempt-timeout", "1e300"], "number of seconds"),
        ([*CREATE, "--max-attempts", "9999999999"], "--max-attempts"),
        (["task", "cancel", "x", "--attempt", "9999999999"], "--attempt"),
        (["stream", "--from-now", "--resume-token", "x"], "not both"),
        (["migrate"], "TANDEM_ADMIN_URL"),
        (["migrate", "--admin-url", "postgresql://x@localhost/x"], "_PASSWORD"),
        (["creator"], "TANDEM_DATABASE_URL"),
        (["stats", "--days", "32"], "--days"),
        (["demo", "--folder", "/none"], "/none"),
        (["up", "--data", "/dev/null"], "cannot use /dev/null: File exists"),
        (["--creator", "a:1,b:2", "stream"], "--creator"),
        (["prune", "--creator", "a:1", "--dry-run"], "--creator"),
        (["--creator", "a:1", "prune", "--dry-run"], "prune takes no --creator"),
        (["--processor", "a:1", "key", "list"], "key takes no --processor"),
        (["processor", "--processor", "a:1"], "--processor"),
        (["--json", "creator"], "creator takes no --json"),
    ],
)
async def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], words: str
) -> None:
    _assert_failed(await tandem(*arguments), 2, words)


async def test_a_service_that_is_not_there_is_one_line() -> None:
    ended = await tandem("--processor", NOBODY, "task", "get", str(uuid4()))
    _assert_failed(ended, 1, NOBODY, "tandem up")


async def test_a_database_that_is_not_there_is_one_line_and_exit_code_2() -> None:
    url = f"postgresql://nobody:secret-word@{NOBODY}/nowhere"
    for command in (
        ("creator", "--database-url", url, "--listen", "127.0.0.1:0"),
        ("processor", "--database-url", url, "--listen", "127.0.0.1:0",
         "--handlers", "tandem.demo.handlers:handlers"),
        ("migrate", "--owner-url", url),
        ("up", "--admin-url", url, "--data", "/tmp/tandem-no-such-folder/x"),
    ):  # fmt: skip
        ended = await tandem(*command)
        _assert_failed(ended, 2, "database")
        assert "secret-word" not in ended.out + ended.err


async def test_migrate_makes_a_database_from_nothing_and_may_be_repeated(
    cluster: Cluster,
) -> None:
    name = f"tandem_{uuid4().hex}"
    command = ("migrate", "--database", name)
    environ = {**SECRETS, "TANDEM_ADMIN_URL": cluster.admin_url}
    try:
        first = await tandem("--json", *command, environ=environ)
        again = await tandem(*command, environ=environ)
    finally:
        await drop_database(cluster, name)
    assert first.code == 0, first.err
    assert "0001_tasks.sql" in first.json_lines()[0]["applied"]
    assert again.out == "nothing to apply\n"


async def test_services_started_by_command_serve_and_stop_at_sigterm(
    database: Database,
) -> None:
    free = ("--listen", "127.0.0.1:0", "--log", "json")
    creator = ("creator", "--database-url", database.creator_url, *free)
    async with standing(*creator) as first:
        address = f"127.0.0.1:{(await first.line(event='serving'))['port']}"
        processor = (
            "processor", "--database-url", database.processor_url, *free,
            "--handlers", "tests.support.system_handlers:handlers",
            "--creator", address,
        )  # fmt: skip
        async with standing(*processor) as second:
            await second.line(event="serving")
            for command in (second, first):
                command.process.terminate()
                assert (await command.finished()).code == 0


def _assert_failed(ended: Finished, code: int, *words: str) -> None:
    assert ended.code == code, ended
    assert ended.complaint().startswith("tandem")
    for word in words:
        assert word in ended.complaint()
