"""`tandem key` as an operator runs it, and what services make of TANDEM_AUTH."""

from __future__ import annotations

import pytest

from tests.support.cluster import Database
from tests.support.command import tandem
from tests.system.test_creator_start import assert_refused, run


async def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(
    database: Database,
) -> None:
    environ = {"TANDEM_OWNER_URL": database.owner_url}
    wanted = ("--name", "billing", "--scope", "create:billing", "--scope", "read:*")

    made = await tandem(
        "key", "create", *wanted, "--expires-in", "90d", environ=environ
    )
    key_id, secret = made.out.strip().removeprefix("tandem_").split("_", 1)
    listed = await tandem("--json", "key", "list", environ=environ)
    table = await tandem("key", "list", environ=environ)
    ended = await tandem("key", "revoke", key_id, environ=environ)
    again = await tandem("--json", "key", "revoke", key_id, environ=environ)

    [line] = listed.json_lines()
    assert (line["key_id"], line["name"], line["state"]) == (key_id, "billing", "valid")
    assert line["scopes"] == ["create:billing", "read:*"]
    assert secret not in listed.out + table.out + ended.out + made.err
    assert ended.out == f"{key_id}  billing  revoked\n"
    assert again.json_lines()[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("revoke", "tandem_0_secret-word"), "no key has this id"),
        (("create", "--name", "a", "--scope", "all"), "must be action:project"),
        (("create", "--name", " ", "--scope", "read:*"), "--name must be 1 to 63"),
        (("create", "--name", "a"), "Missing option '--scope'"),
    ],
)
async def test_what_is_wrong_is_one_line_without_a_secret(
    database: Database, words: tuple[str, ...], complaint: str
) -> None:
    found = await tandem(
        "key", *words, environ={"TANDEM_OWNER_URL": database.owner_url}
    )

    assert found.code in {1, 2}
    assert complaint in found.complaint()
    assert "secret-word" not in found.err


async def test_nobody_listens_to_a_network_for_everybody_without_saying_so(
    database: Database,
) -> None:
    found = await run(database_url=database.creator_url, listen="0.0.0.0:0")

    assert_refused(found, "TANDEM_AUTH is not set", "0.0.0.0:0 is not loopback")


async def test_a_kind_that_nobody_knows_is_refused(database: Database) -> None:
    found = await run(database_url=database.creator_url, auth="key,password")

    assert_refused(found, "TANDEM_AUTH must be off, or some of", "key")
