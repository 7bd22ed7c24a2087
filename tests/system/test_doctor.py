"""`tandem doctor`: with what `tandem up` keeps, or with logins by URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import PASSWORDS, Database, reachable_folder
from tests.support.command import standing, tandem
from tests.support.running_pair import RunningPair

NOBODY = "127.0.0.1:9"
"""The discard port: nothing listens there."""

FREE = ("--creator-listen", "127.0.0.1:0", "--processor-listen", "127.0.0.1:0")


@pytest.fixture
def data() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder / "data"


async def test_it_needs_no_options_beside_a_running_up(data: Path) -> None:
    async with standing("up", "--data", data, *FREE) as running:
        ready = await running.line(process="tandem", event="ready")
        sound = await tandem("doctor", "--data", data)
        create = ("task", "create", "--project", "shop", "--type", "unknown")
        await tandem("--creator", ready["creator"], *create)
        faulty = await tandem(
            "--json", "doctor", "--data", data,
            "--creator", ready["creator"], "--processor", NOBODY,
        )  # fmt: skip
    after = await tandem("doctor", "--data", data)

    assert (sound.code, sound.err) == (0, "")
    assert {line.split()[0] for line in sound.out.splitlines()} == {"ok"}
    found = {line["check"]: line for line in faulty.json_lines()}
    assert faulty.code == 1
    assert found.pop("lanes without a processor")["remedy"].startswith("start one")
    assert NOBODY in found.pop("health of the processor")["text"]
    assert {line["verdict"] for line in found.values()} == {"ok"}
    assert found["health of the creator"]
    assert after.code == 2
    assert "start one with `tandem up`" in after.complaint()


async def test_it_looks_through_the_logins_that_are_given(
    database: Database, pair: RunningPair
) -> None:
    environ = {
        "TANDEM_DATABASE_URL": f"{database.creator_url} {database.processor_url}"
    }

    ended = await tandem("doctor", environ=environ)

    lines = dict(line.split(maxsplit=1)[::-1] for line in ended.out.splitlines())
    skipped = [text for text, verdict in lines.items() if verdict == "skipped"]
    assert [text.partition(":")[0] for text in skipped] == [
        "migrations",
        "long transactions",
    ]
    assert lines["lost announcements"] == "ok"
    assert lines["privileges of the creator"] == "ok"
    assert PASSWORDS.creator not in ended.out + ended.err


async def test_a_finding_is_one_line_that_says_what_to_do(database: Database) -> None:
    async with database.admin() as admin:
        await admin.execute("GRANT DELETE ON tandem.tasks TO tandem_creator")

    ended = await tandem("doctor", "--database-url", database.creator_url)

    assert ended.code == 1
    [line] = [
        line
        for line in ended.out.splitlines()
        if "privileges of" in line and "found" in line
    ]
    assert "too many: DELETE on tandem.tasks; run `tandem migrate`" in line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://tandem_creator:secret-word@{NOBODY}/tandem", "no PostgreSQL"),
        ("postgresql://tandem_creator:secret-word@/x:y/tandem?port=z", "URL"),
    ],
)
async def test_a_database_that_cannot_be_reached_is_one_line_and_exit_code_2(
    url: str, said: str
) -> None:
    ended = await tandem("doctor", "--database-url", url)

    assert ended.code == 2
    assert said in ended.complaint()
    assert "secret-word" not in ended.out + ended.err


async def test_a_login_that_is_refused_is_one_line_and_exit_code_2(
    database: Database,
) -> None:
    url = database.creator_url.replace(PASSWORDS.creator, "wrong-word")

    ended = await tandem("doctor", "--database-url", url)

    assert ended.code == 2
    assert "refuses the login" in ended.complaint()
    assert "wrong-word" not in ended.err
