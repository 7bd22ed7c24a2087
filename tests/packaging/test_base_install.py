"""The client's install is light, typed, and enough to create a task."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import AsyncIterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tandem.processes import Service, ServiceProcess
from tests.packaging.base_install import (
    NEEDS,
    TYPES,
    Environment,
    base_requirements,
    build_wheel,
    copy_distribution,
    make_environment,
)
from tests.packaging.tree import BIN, ROOT, run
from tests.support.cluster import Database
from tests.support.documented import inline

CLIENT = Path(__file__).with_name("client.py").read_text()
HANDLER = Path(__file__).with_name("handler.py").read_text()
EXAMPLES = [ROOT / "examples/retrying_client.py", ROOT / "examples/outbox.py"]

MISTAKES = [
    ("write_letter(ctx: Context)", "write_letter(ctx: BlockingContext)", "type-var"),
    ("send_parcel(ctx: BlockingContext)", "send_parcel(ctx: Context)", "type-var"),
    (
        "write_letter(ctx: Context) -> dict[",
        "write_letter(ctx: Context) -> tuple[",
        "type-var",
    ),
    ("await ctx.progress", "ctx.progress", "unused-coroutine"),
    ("words=200", 'words="many"', "arg-type"),
    ('printer="p-7"', "printer=7", "arg-type"),
    ("RetryLater(timedelta(hours=1)", "RetryLater(3600", "arg-type"),
    ("max_attempts=3", 'max_attempts="3"', "arg-type"),
    ("Stop.CRASH", "Stop.CRASHED", "attr-defined"),
    ('title="a letter"', "titel=7", "call-arg"),
]
"""What stands in the sample, what somebody writes in its place, and the complaint."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("base")
    return make_environment(folder / "venv", build_wheel(folder))


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[str]:
    """A running creator's address."""
    process = ServiceProcess(
        Service.CREATOR,
        label="creator",
        environ={
            "TANDEM_DATABASE_URL": database.creator_url,
            "TANDEM_LISTEN": "127.0.0.1:0",
        },
        on_line=lambda _label, _line: None,
    )
    await process.start()
    yield process.address
    await process.stop()


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A client's program, far from this repository."""
    program = tmp_path / "client.py"
    program.write_text(CLIENT)
    return program


@pytest.fixture
def shop(tmp_path: Path, creator: str) -> Path:
    """A program with a database of its own."""
    program = tmp_path / "shop.py"
    program.write_text(EXAMPLES[1].read_text().replace("127.0.0.1:7101", creator))
    return program


def test_the_base_install_is_the_contract_and_three_libraries(
    base: Environment,
) -> None:
    assert base_requirements(base) - {"typing_extensions", "typing-extensions"} == NEEDS


@pytest.mark.parametrize(
    "module", ["client", "outbox", "handlers", "testing", "errors", "wire", "states"]
)
def test_what_a_client_imports_is_in_the_base_install(
    base: Environment, module: str
) -> None:
    imported = run(base.python, "-I", "-c", f"import tandem.{module}")

    assert (imported.returncode, imported.stderr) == (0, "")


@pytest.mark.parametrize(
    "module", ["asyncpg", "structlog", "click", "rich", "opentelemetry"]
)
def test_what_the_services_need_is_not(base: Environment, module: str) -> None:
    imported = run(base.python, "-I", "-c", f"import {module}")

    assert "ModuleNotFoundError" in imported.stderr


@pytest.mark.parametrize(
    ("document", "start"),
    [
        ("README.md", "pip install ./"),
        ("docs/client.md", "pip install ./"),
        ("docs/client.md", "pip install './"),
        ("docs/traces.md", "pip install './"),
    ],
)
def test_a_clone_is_installed_as_shown(
    tmp_path: Path, document: str, start: str
) -> None:
    clone, packages = tmp_path / "tandem", tmp_path / "packages"
    clone.symlink_to(ROOT)
    typed = inline(document, start)
    # What is here is all that is needed: no index is asked.
    offline = ("--no-index", "--no-deps", "--no-build-isolation")

    installed = run(
        *(sys.executable, "-m", *shlex.split(typed), *offline),
        *("--quiet", "--target", packages),
        cwd=tmp_path,
    )

    assert (installed.returncode, installed.stderr) == (0, "")
    assert (packages / "tandem/client/__init__.py").exists()


def test_the_command_says_in_one_line_what_it_lacks(base: Environment) -> None:
    said = run(base.folder / "bin/tandem", "up")

    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "[server]" in said.stderr
    assert "Traceback" not in said.stderr


async def test_a_client_creates_a_task_with_the_base_install_alone(
    base: Environment, client: Path, creator: str
) -> None:
    first = run(base.python, "-I", client, creator)
    second = run(base.python, "-I", client, creator)

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.split()[0] == "OUTCOME_CREATED"
    assert second.stdout.split()[0] == "OUTCOME_REPLAYED"
    assert first.stdout.split()[1] == second.stdout.split()[1]


async def test_an_outbox_is_relayed_with_the_base_install_alone(
    base: Environment, shop: Path
) -> None:
    relayed = run(base.python, "-I", shop, shop.with_name("shop.db"), "7")

    assert (relayed.returncode, relayed.stderr) == (0, "")
    assert relayed.stdout.startswith("saved 7\nCREATED ")


def test_a_client_is_typed(base: Environment, client: Path) -> None:
    for name in TYPES:
        copy_distribution(distribution(name), into=base.packages)
    for example in EXAMPLES:
        (client.parent / example.name).write_text(example.read_text())

    checked = check_types(base, *sorted(client.parent.iterdir()))

    assert checked == "Success: no issues found in 3 source files\n"


def test_a_client_that_misspells_the_contract_is_told_so(
    base: Environment, client: Path
) -> None:
    for name in TYPES:
        copy_distribution(distribution(name), into=base.packages)
    client.write_text(
        CLIENT.replace("request_id=", "requestId=").replace(".outcome", ".result")
    )

    checked = check_types(base, client)

    assert 'Unexpected keyword argument "requestId"' in checked
    assert '"CreateTaskResponse" has no attribute "result"' in checked


def test_a_handler_is_tried_with_the_base_install_alone(
    base: Environment, client: Path
) -> None:
    client.write_text(HANDLER)

    tried = run(base.python, "-I", client)

    assert (tried.stdout, tried.stderr) == ("PENDING SUCCEEDED 1\n", "")


def test_a_handler_and_its_test_are_typed(base: Environment, client: Path) -> None:
    for name in TYPES:
        copy_distribution(distribution(name), into=base.packages)
    client.write_text(HANDLER)

    checked = check_types(base, client)

    assert checked == "Success: no issues found in 1 source file\n"


def test_mistakes_in_handlers_are_seen_by_the_checker(
    base: Environment, tmp_path: Path
) -> None:
    for name in TYPES:
        copy_distribution(distribution(name), into=base.packages)
    for number, (right, wrong, _) in enumerate(MISTAKES):
        assert HANDLER.count(right) == 1
        (tmp_path / f"wrong{number}.py").write_text(HANDLER.replace(right, wrong))

    checked = check_types(base, *sorted(tmp_path.iterdir()))

    complaints = re.findall(
        r"^wrong(\d+)\.py:\d+: error: .*\[([a-z-]+)\]$", checked, re.MULTILINE
    )
    wanted = {(str(number), code) for number, (_, _, code) in enumerate(MISTAKES)}
    assert wanted - set(complaints) == set()


def check_types(base: Environment, *programs: Path) -> str:
    checker = (BIN / "mypy", "--strict", "--python-executable", base.python)
    names = [program.name for program in programs]
    return run(*checker, *names, cwd=programs[0].parent).stdout
