from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tandem.settings import (
    Addresses,
    InvalidSettings,
    Names,
    Seconds,
    Settings,
    Text,
    Whole,
)
from tandem_creator.settings import CreatorSettings

URL = "postgresql://tandem_creator:secret@db/tandem"
NEEDED = {"TANDEM_DATABASE_URL": URL, "TANDEM_LISTEN": "127.0.0.1:7101"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Extended(Settings):
    listen: str = "127.0.0.1:7102"
    creator_address: Addresses = ("127.0.0.1:7101",)
    queues: Names = ("default",)
    handlers: Text | None = None
    heartbeat: Seconds = 5.0
    spare: Whole = 0


def test_defaults_stand_where_nothing_is_set() -> None:
    settings = Settings.from_environ(NEEDED)

    assert settings.pool_size == 10
    assert settings.grace == 20.0
    assert settings.log is None


def test_every_field_is_read() -> None:
    settings = Settings.from_environ(
        NEEDED | {"TANDEM_POOL_SIZE": "3", "TANDEM_GRACE": "1.5", "TANDEM_LOG": "json"}
    )

    assert (settings.pool_size, settings.grace, settings.log) == (3, 1.5, "json")


def test_the_login_may_come_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    by_file = {
        "TANDEM_DATABASE_URL_FILE": str(file),
        "TANDEM_LISTEN": "127.0.0.1:7101",
    }

    assert Settings.from_environ(by_file).database_url == URL
    with pytest.raises(InvalidSettings, match="are both set: unset one"):
        Settings.from_environ(NEEDED | by_file)
    with pytest.raises(InvalidSettings, match="cannot read /nowhere: No such file"):
        Settings.from_environ(by_file | {"TANDEM_DATABASE_URL_FILE": "/nowhere"})


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environ(NEEDED | {"TANDEM_POOL_SIZE": " "}).pool_size == 10


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_environ(
            {
                "TANDEM_LISTEN": "7101",
                "TANDEM_POOL_SIZE": "0",
                "TANDEM_GRACE": "nan",
                "TANDEM_LOG": "xml",
            }
        )

    assert str(raised.value) == (
        "TANDEM_DATABASE_URL is not set;"
        " TANDEM_LISTEN must be host:port, not '7101';"
        " TANDEM_POOL_SIZE must be a whole number from 1 up, not '0';"
        " TANDEM_GRACE must be a number of seconds, not 'nan';"
        " TANDEM_LOG must be json or console, not 'xml'"
    )


def test_the_password_is_in_no_repr_and_no_fault() -> None:
    assert "secret" not in repr(Settings.from_environ(NEEDED))
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_environ(NEEDED | {"TANDEM_DATABASE_URL": "mysql://u:secret@db"})
    assert "secret" not in str(raised.value)


def test_a_service_adds_fields_of_its_own() -> None:
    settings = Extended.from_environ(
        {
            "TANDEM_DATABASE_URL": URL,
            "TANDEM_CREATOR_ADDRESS": "a:1, [::1]:2",
            "TANDEM_QUEUES": "default,mail",
            "TANDEM_SPARE": "7",
        }
    )

    assert settings.listen == "127.0.0.1:7102"
    assert settings.creator_address == ("a:1", "[::1]:2")
    assert settings.queues == ("default", "mail")
    assert settings.heartbeat == 5.0
    assert settings.spare == 7


@pytest.mark.parametrize("raw", ["", "host", ":", ":1", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(raw: str) -> None:
    environ = {"TANDEM_DATABASE_URL": URL, "TANDEM_LISTEN": raw}

    with pytest.raises(InvalidSettings, match="TANDEM_LISTEN"):
        Settings.from_environ(environ)


def test_metrics_without_a_host_are_for_this_machine_alone() -> None:
    told = {
        raw: Settings.from_environ(NEEDED | {"TANDEM_METRICS_LISTEN": raw})
        for raw in ("", ":9101", "0.0.0.0:9101")
    }

    assert [each.metrics_listen for each in told.values()] == [
        "",
        "127.0.0.1:9101",
        "0.0.0.0:9101",
    ]


def several(listen: str) -> CreatorSettings:
    return CreatorSettings(database_url=URL, processes=3, metrics_listen=listen)


def test_each_of_several_creators_tells_metrics_at_the_next_port() -> None:
    at = {
        listen: [several(listen).metrics_listen_of(number) for number in (0, 2)]
        for listen in ("[::1]:9101", "127.0.0.1:0", "")
    }

    assert at == {
        "[::1]:9101": ["[::1]:9101", "[::1]:9103"],
        "127.0.0.1:0": ["127.0.0.1:0", "127.0.0.1:0"],
        "": ["", ""],
    }
    with pytest.raises(InvalidSettings, match="no port for the last of 3"):
        several("127.0.0.1:65534")
