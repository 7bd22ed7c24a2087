from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tandem.testing import HandlerTest
from tandem_creator.settings import CreatorSettings
from tandem_processor.settings import ProcessorSettings
from tests.packaging.tree import ROOT, committed_files, run
from tests.support.operations import rows_of

BY_ITSELF = {"TANDEM_SHARE_PORT"}
"""What one creator tells another; no operator sets it."""

DOCUMENTS = [file for file in committed_files() if file.suffix == ".md"]


def test_the_index_lists_every_decision() -> None:
    folder = ROOT / "docs/decisions"

    listed = re.findall(r"\]\((\d{3}-[^)]+)\)", (folder / "README.md").read_text())

    assert listed == sorted(file.name for file in folder.glob("[0-9]*.md"))


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT))
)
def test_no_relative_link_is_broken(document: Path) -> None:
    targets = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", document.read_text())

    assert [name for name in targets if not (document.parent / name).exists()] == []


def test_every_target_that_a_document_names_exists() -> None:
    offered = set(re.findall(r"^make (\S+)", run("make", "help").stdout, re.MULTILINE))

    text = "\n".join(document.read_text() for document in DOCUMENTS)
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))

    assert named - offered == set()


def test_every_module_and_file_that_the_page_on_architecture_names_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text().split("\n## The code\n")[1]
    files = {str(file.relative_to(ROOT)) for file in committed_files()}

    modules = re.findall(r"`(tandem(?:_\w+|\.\w+)?)`", text)
    paths = re.findall(r"`((?:shared|services|protos|tests)/[\w/.]+)`", text)
    names = re.findall(r"`(\w+\.py)`", text)

    assert min(len(modules), len(paths), len(names)) > 10
    assert [name for name in modules if find_spec(name) is None] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [n for n in names if not any(f.endswith(f"/{n}") for f in files)] == []


def test_the_changelog_s_newest_release_is_the_version_of_the_package() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    unreleased, newest, *_ = re.findall(r"^## \[(.+?)\](.*)", changelog, re.MULTILINE)

    assert unreleased == ("Unreleased", "")
    assert newest[0] == project["version"]
    assert re.fullmatch(r" - \d{4}-\d\d-\d\d", newest[1])


def test_the_code_in_the_page_on_handlers_runs() -> None:
    blocks = python_in(ROOT / "docs/handlers.md")

    module: dict[str, Any] = {}
    exec("\n".join(blocks), module)

    tests = [module[name] for name in module if name.startswith("test_")]
    for test in tests:
        test()
    count = HandlerTest(module["handlers"], "count", {"to": 4})
    assert (len(blocks), len(tests)) == (3, 1)
    assert count.run().value() == {"total": 6}


def test_the_table_of_settings_is_what_the_services_read() -> None:
    listed = {name: service for name, service, *_ in rows_of("Settings")}

    creator, processor = (
        {f"TANDEM_{field.name.upper()}" for field in fields(settings)}
        for settings in (CreatorSettings, ProcessorSettings)
    )
    read = dict.fromkeys(creator - BY_ITSELF, "creator")
    read |= dict.fromkeys(processor, "processor")
    read |= dict.fromkeys(creator & processor, "both")
    assert listed == read


def test_the_times_of_failures_are_those_that_were_measured() -> None:
    date, figures = last_run("what happens when something breaks, 3 rounds")
    measured = dict(re.findall(r"^\| (F-\d+) \|.* ([\d.]+) \|$", figures, re.MULTILINE))
    page = (ROOT / "docs/failures.md").read_text()

    told = re.findall(r"([\d.]+) s \((F-\d+)\)", page)

    assert measured
    assert {row: seconds for seconds, row in told} == measured
    assert re.findall(r"run of (\S+ \S+ UTC)", page) == [date]


def test_no_failure_took_longer_than_its_limit() -> None:
    page = (ROOT / "docs/failures.md").read_text()

    # A limit that says more, as "1 s, and …", has no figure to compare with.
    rows = re.findall(r"^\|.*\| (\d+) s \| (.*) \|$", page, re.MULTILINE)
    times = [
        (float(limit), float(seconds))
        for limit, measured in rows
        for seconds in re.findall(r"([\d.]+) s \(F-", measured)
    ]

    assert len(times) > 3
    assert [pair for pair in times if pair[1] > pair[0]] == []


def test_the_comparison_with_a_library_is_that_of_the_last_three_rounds() -> None:
    date, figures = last_run("processing, 3 rounds")
    [(ours, theirs)] = re.findall(
        r"^\| D-1 \| drain \| ([\d,]+)/s \| pgqueuer drain: ([\d,]+)/s",
        figures,
        re.MULTILINE,
    )
    page = (ROOT / "docs/comparison.md").read_text()

    assert f"drained {theirs} tasks a second where Tandem drained {ours} (D-1" in page
    assert re.findall(r"RESULTS\.md\), (\S+ \S+ UTC)\)", page) == [date]


def last_run(title: str) -> tuple[str, str]:
    """When the newest run of this title was, and what it found."""
    text = (ROOT / "benchmarks/RESULTS.md").read_text()
    runs = re.findall(
        rf"^## (\S+ \S+ UTC): {title}.*\n([\s\S]*?)(?=^## |\Z)", text, re.MULTILINE
    )
    date, figures = max(runs)
    return date, figures


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT))
)
def test_python_in_a_document_is_python(document: Path) -> None:
    for block in python_in(document):
        compile(block, str(document), "exec")


def python_in(document: Path) -> list[str]:
    text = document.read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
