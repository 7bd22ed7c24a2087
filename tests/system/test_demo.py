"""`tandem demo`: articles become pages, and what is not so is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.demo import run
from tandem.demo.articles import find_articles
from tandem.demo.crash import Crash
from tandem.demo.plan import Plan
from tandem.demo.watching import Sight
from tests.support.command import tandem
from tests.support.documented import inline
from tests.support.shell import shell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sound articles."""
    folder = tmp_path / "articles"
    (folder / "more").mkdir(parents=True)
    (folder / "tea.md").write_text("# Tea\n\nSee [leaves](more/leaves.md#green).\n")
    (folder / "more" / "leaves.md").write_text("# Leaves\n\n## Green\n\nThey are.\n")
    (folder / "cups.md").write_text("# Cups\n\nBack to [tea](tea.md).\n")
    return folder


async def test_each_article_has_one_task_and_one_page_whatever_goes_wrong(
    folder: Path, tmp_path: Path
) -> None:
    """And again: a second run replaces the pages of the first, and shows a table."""
    output = tmp_path / "site"
    ended = await tandem("--json", "demo", "--folder", folder, "--output", output)
    assert ended.code == 0, ended.err
    [report] = ended.json_lines()

    assert report["violations"] == []
    assert report["articles"] == report["created"] == 3
    assert report["refused"] == 2
    assert report["killed"] == 1
    assert report["stages"] == 3 * 6
    assert report["reused"] >= 2
    assert report["attempts"] > 3
    pages = {str(page.relative_to(output)) for page in output.rglob("*.html")}
    assert pages == {
        "index.html",
        "pages/tea.html",
        "pages/cups.html",
        "pages/more/leaves.html",
    }
    assert 'href="more/leaves.html#green"' in (output / "pages/tea.html").read_text()
    assert 'href="pages/more/leaves.html"' in (output / "index.html").read_text()
    assert [file.name for file in output.rglob(".*")] == [".made-by-tandem-demo"]

    shown = inline("README.md", ".venv/bin/tandem demo").removeprefix(".venv/bin/")
    ended = await shell(
        shown.replace("/tmp/site", str(output)), environ={"HOME": str(tmp_path)}
    )
    assert ended.code == 0, ended.err
    assert "tasks created" in ended.out
    assert "1 processor killed" in " ".join(ended.out.split())
    assert "3 articles, one task and one page each" in ended.out
    assert str(output / "index.html") in ended.out


async def test_a_broken_link_is_named_and_ends_with_1(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "cups.md").write_text("# Cups\n\nBack to [tea](coffee.md).\n")
    output = tmp_path / "site"
    ended = await tandem("demo", "--folder", folder, "--output", output)
    assert ended.code == 1
    told = [line for line in ended.err.splitlines() if "cups.md" in line]
    assert 'line 3: "coffee.md" leads nowhere' in told[0]
    assert "cups.md: has no page" in ended.err
    assert "tea.md" not in ended.err
    assert (output / "pages" / "tea.html").exists()


async def test_a_demo_in_which_nothing_was_killed_has_proved_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "tea.md").write_text("# Tea\n\nGreen.\n")
    monkeypatch.setattr(run, "crash_one", _nothing_happens)
    plan = Plan(
        folder=tmp_path / "in",
        articles=find_articles(tmp_path / "in"),
        output=tmp_path / "site",
        limit=60,
        log=tmp_path / "site.log",
    )
    report = await run.publish(plan, Silent())

    assert report.crash is None
    [violation] = report.violations
    assert "no processor was killed" in violation


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None: ...

    def sight(self, sight: Sight, *, articles: int, stages: int) -> None: ...


async def _nothing_happens(*_: object) -> Crash:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_folder_of_somebody_else_s_files_is_left_alone(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "precious"
    output.mkdir()
    (output / "letter.txt").write_text("dear")
    ended = await tandem("demo", "--folder", folder, "--output", output)
    assert ended.code == 2
    assert str(output) in ended.complaint()
    assert [file.name for file in output.iterdir()] == ["letter.txt"]
