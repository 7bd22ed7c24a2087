"""`tandem prune` as an operator runs it: what it prints, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.factories import create_many, create_task
from tests.support.cluster import Database, reachable_folder
from tests.support.command import standing, tandem
from tests.support.past import age

PLACE = """
INSERT INTO tandem.group_places (group_name, lane_id, position)
SELECT $1, min(l.lane_id), 0
FROM tandem.lanes AS l
"""

NOBODY = "postgresql://nobody:secret-word@127.0.0.1:9/nowhere"


async def test_a_round_is_one_line_and_a_dry_one_changes_nothing(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    environ = {"TANDEM_JANITOR_URL": database.janitor_url}
    task_ids = await create_many(creator_pool, 3)
    await age(owner_pool, task_ids, days=8)

    dry = await tandem("prune", "--dry-run", environ=environ)
    done = await tandem("--json", "prune", "--once", "--batch", "2", environ=environ)
    again = await tandem(
        "prune", environ={**environ, "TANDEM_STRIP_AFTER": "1h", "TANDEM_DELETE_AFTER": "1d"}
    )  # fmt: skip

    nothing = "0 deleted, 0 content windows, 0 takes"
    assert (dry.code, dry.out) == (0, f"would prune: 3 stripped, {nothing}\n")
    [line] = done.json_lines()
    assert line == {
        "stripped": 3, "deleted": 0, "windows": 0, "takes": 0,
        "held_by": [], "dry_run": False,
    }  # fmt: skip
    assert again.out.startswith("pruned: 0 stripped, 3 deleted")


async def test_it_goes_on_until_it_is_told_to_stop(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    environ = {"TANDEM_JANITOR_URL": database.janitor_url}
    async with standing(
        "--json", "prune", "--every", "0.05", environ=environ
    ) as janitor:
        await janitor.line(stripped=0)
        await age(owner_pool, [await create_task(creator_pool)], days=8)
        await janitor.line(stripped=1)
        janitor.press_ctrl_c()
        ended = await janitor.finished()

    assert (ended.code, ended.err) == (0, "")


async def test_a_group_that_never_comes_back_is_given_up(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    environ = {"TANDEM_JANITOR_URL": database.janitor_url}
    await age(owner_pool, await create_many(creator_pool, 2), days=8)
    await owner_pool.execute(PLACE, "audit")

    held = await tandem("prune", environ=environ)
    forgot = await tandem("prune", "--forget-group", "audit", environ=environ)
    again = await tandem("prune", "--forget-group", "audit", environ=environ)

    assert held.out.endswith("0 takes; kept for audit\n")
    assert forgot.out.startswith("pruned: 2 stripped")
    assert again.code == 2
    assert "no group audit has a place" in again.complaint()


async def test_another_services_login_is_refused_by_name(database: Database) -> None:
    for every in ((), ("--every", "60")):
        ended = await tandem("prune", *every, "--database-url", database.creator_url)
        assert ended.code == 2
        assert "logged in as tandem_creator, not tandem_janitor" in ended.complaint()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--once", "--every", "5"], "--once or --every"),
        (["--strip-after", "a week"], "7d, 12h or 90s"),
        (["--strip-after", "999999999d"], "'--strip-after'"),
        (["--strip-after", "8d", "--delete-after", "7d"], "must not be shorter"),
        (["--batch", "0"], "'--batch'"),
        (["--forget-group", "processors"], "it runs the tasks"),
        (["--forget-group", "audit", "--dry-run"], "not both"),
        (["--data", "/nowhere"], "TANDEM_JANITOR_URL"),
        (["--database-url", NOBODY], "no PostgreSQL answers"),
    ],
)
async def test_what_is_wrong_is_one_line_and_exit_code_2(
    arguments: list[str], words: str
) -> None:
    ended = await tandem("prune", *arguments)

    assert ended.code == 2
    assert words in ended.complaint()
    assert "secret-word" not in ended.out + ended.err


@pytest.fixture
def data() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder / "data"


async def test_up_prunes_beside_the_services_and_its_folder_is_pruned_when_it_is_halted(
    data: Path,
) -> None:
    free = "127.0.0.1:0"
    arguments = ("up", "--data", data, "--creator-listen", free)
    at_once = {"TANDEM_STRIP_AFTER": "0s", "TANDEM_GRACE": "0.5"}
    async with standing(*arguments, "--processor-listen", free) as first:
        ready = await first.line(process="tandem", event="ready")
        environ = {
            "TANDEM_CREATOR_ADDRESS": ready["creator"],
            "TANDEM_PROCESSOR_ADDRESS": ready["processor"],
        }
        create = ("task", "create", "--project", "shop", "--type", "echo")
        made = await tandem("--json", *create, environ=environ)
        [created] = made.json_lines()
        await tandem("task", "watch", created["task"]["task_id"], environ=environ)
    async with standing(
        *arguments, "--processor-listen", free, environ=at_once
    ) as second:
        pruned = await second.line(process="tandem", event="pruned")

    halted = await tandem(
        "prune", "--data", data, "--strip-after", "0", "--delete-after", "0"
    )

    assert pruned["stripped"] == "1"
    assert halted.out.startswith("pruned: 0 stripped, 1 deleted")
