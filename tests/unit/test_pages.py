"""Pages: whole, safe to open, and with links that lead where they led."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.demo.index import render_index
from tandem.demo.pages import Page, page_link, render_page, write_atomically


def page(**changed: object) -> Page:
    facts: dict[str, object] = {
        "task_id": "t-1",
        "path": "docs/tea.md",
        "title": "Tea & <milk>",
        "contents": [{"level": 2, "anchor": "steps", "text": "Steps"}],
        "links": {"leaves.md": "leaves.html"},
        "facts": "5 words",
        "notes": ["<b>loud</b>"],
    }
    return Page(**{**facts, **changed})  # type: ignore[arg-type]


def test_a_page_names_its_task_and_leads_back_to_the_index() -> None:
    html = render_page("# Tea\n", page())
    assert '<meta name="tandem-task" content="t-1">' in html
    assert 'href="../../index.html"' in html


def test_what_an_article_says_is_never_run() -> None:
    html = render_page("<script>alert(1)</script>\n\n[x](javascript:alert(1))", page())
    assert "<script>" not in html
    assert 'href="javascript' not in html
    assert "<title>Tea &amp; &lt;milk&gt;</title>" in html
    assert "<li>&lt;b&gt;loud&lt;/b&gt;</li>" in html


def test_headings_and_links_lead_somewhere() -> None:
    html = render_page("# Tea\n\n## Steps\n\n[l](leaves.md)\n", page())
    assert '<h2 id="steps">' in html
    assert '<a href="#steps">Steps</a>' in html
    assert '<a href="leaves.html">l</a>' in html


@pytest.mark.parametrize(
    ("target", "to"),
    [
        ("leaves.md", "leaves.html"),
        ("../README.md#why", "../README.html#why"),
        ("../LICENSE", "../../../in/LICENSE"),
        ("#steps", None),
        ("https://example.org", None),
        ("mailto:a@example.org", None),
    ],
)
def test_a_relative_link_leads_to_the_page_or_to_the_file(
    target: str, to: str | None
) -> None:
    folder, output = Path("/in"), Path("/out")
    assert page_link(target, path="docs/tea.md", folder=folder, output=output) == to


def test_writing_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a" / "page.html"
    write_atomically(path, "one", tag="1")
    write_atomically(path, "two", tag="2")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_the_index_links_every_page_with_its_figures() -> None:
    figures = {"words": 1200, "minutes": 6, "reading_ease": 61.7}
    result = {
        "path": "a b.md",
        "page": "pages/a b.html",
        "title": "A & B",
        "links": 3,
        "notes": [],
        "figures": figures,
    }
    html = render_index("Articles", [result])
    assert '<a href="pages/a%20b.html">A &amp; B</a>' in html
    assert "1,200" in html
    assert "1 articles" not in html
