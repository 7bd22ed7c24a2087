"""What the image and the compose file say, as far as it can be judged without Docker."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from tandem.postgres.passwords import Passwords
from tandem_creator.settings import CreatorSettings
from tandem_processor.settings import ProcessorSettings
from tests.packaging.tree import ROOT, run

COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = COMPOSE.split("\nservices:\n")[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def service(name: str) -> str:
    """The lines of one service."""
    found = re.search(rf"^  {name}:\n((?:    .*\n|\n)+)", SERVICES, re.MULTILINE)
    assert found is not None
    return found[1]


def environment(name: str) -> set[str]:
    found = set(re.findall(r"^      (TANDEM_\w+):", service(name), re.MULTILINE))
    assert found
    return found


def test_the_deploy_files_are_what_their_tools_accept() -> None:
    checked = run("make", "check-deploy")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_secret_has_a_default() -> None:
    used = re.findall(r"\$\{(\w*PASSWORD\w*)([^}]*)\}", COMPOSE)

    assert used
    assert [name for name, rest in used if not rest.startswith(":?")] == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [("creator", CreatorSettings), ("processor", ProcessorSettings)],
)
def test_a_service_is_told_only_what_it_understands(
    name: str, settings: type[CreatorSettings | ProcessorSettings]
) -> None:
    understood = {f"TANDEM_{field.name.upper()}" for field in fields(settings)}

    assert environment(name) - understood == set()


def test_migrate_is_given_every_role_s_password() -> None:
    wanted = {f"TANDEM_{role.name.upper()}_PASSWORD" for role in fields(Passwords)}

    assert wanted <= environment("migrate")


@pytest.mark.parametrize("name", ["creator", "processor"])
def test_a_service_never_sees_the_administrator_or_the_owner(name: str) -> None:
    assert not re.search(r"ADMIN|OWNER", service(name))


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)


def test_the_image_has_what_it_copies() -> None:
    listed = (ROOT / ".dockerignore").read_text()
    allowed = set(re.findall(r"^!(\S+)$", listed, re.MULTILINE))

    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}

    assert names == allowed
    assert [name for name in names if not (ROOT / name).exists()] == []
