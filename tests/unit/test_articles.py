"""Articles: which there are, what they consist of, what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.demo import critique
from tandem.demo.articles import NoArticles, find_articles, own_articles, page_of
from tandem.demo.outline import outline
from tandem.demo.readability import figures

ARTICLE = """# Tea

Boil *water*. Pour it over [leaves](leaves.md#green).

```python
# no heading
```

## Steps

## Steps

#### Far too deep
"""


def test_headings_have_the_anchors_that_links_name() -> None:
    found = outline(ARTICLE).headings
    assert [(h.level, h.anchor, h.line) for h in found] == [
        (1, "tea", 1),
        (2, "steps", 9),
        (2, "steps-1", 11),
        (4, "far-too-deep", 13),
    ]


def test_code_is_no_prose_and_no_heading() -> None:
    assert outline(ARTICLE).prose == ("Boil water. Pour it over leaves.",)


def test_skipped_and_repeated_headings_are_named() -> None:
    assert critique.heading_faults(outline(ARTICLE).headings) == [
        'line 13: "Far too deep" goes from level 2 to 4',
        '"Steps" is the heading of 2 parts',
    ]


@pytest.mark.parametrize(
    "link",
    [
        "other.md",
        "other.md#green-tea",
        "#tea",
        "sub/",
        "with%20space.txt",
        "https://example.org/nowhere",
        "mailto:someone@example.org",
        "/elsewhere",
    ],
)
def test_a_sound_link_is_no_fault(tmp_path: Path, link: str) -> None:
    _write_neighbours(tmp_path)
    article = outline(f"# Tea\n\nSee [this]({link}).\n")
    assert critique.broken_links(article, tmp_path / "tea.md") == []


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("gone.md", "leads nowhere"),
        ("../gone/", "leads nowhere"),
        ("other.md#black-tea", "names no heading"),
        ("#coffee", "names no heading"),
    ],
)
def test_a_broken_link_is_named_with_its_line(
    tmp_path: Path, link: str, fault: str
) -> None:
    _write_neighbours(tmp_path)
    article = outline(f"# Tea\n\nSee [this]({link}).\n")
    broken = critique.broken_links(article, tmp_path / "tea.md")
    assert broken == [f'line 3: "{link}" {fault}']


def test_a_missing_image_is_a_broken_link(tmp_path: Path) -> None:
    article = outline("# Tea\n\n![cup](cup.png)\n")
    assert len(critique.broken_links(article, tmp_path / "tea.md")) == 1


def test_figures_count_words_sentences_and_syllables() -> None:
    counted = figures(["The cat sat on the mat.", "It was happy"])
    assert (counted.words, counted.sentences, counted.syllables) == (9, 2, 10)
    assert counted.reading_ease == pytest.approx(108.3, abs=0.1)
    assert counted.minutes == 1


def test_an_empty_text_has_no_reading_ease() -> None:
    assert figures([]).reading_ease is None


def test_hidden_and_built_folders_hold_no_articles(tmp_path: Path) -> None:
    for path in ("a.md", "sub/b.md", ".venv/c.md", "node_modules/d.md", "e.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("# A\n")
    assert [a.path for a in find_articles(tmp_path)] == ["a.md", "sub/b.md"]


def test_a_folder_without_articles_is_named(tmp_path: Path) -> None:
    for find in (find_articles, own_articles):
        with pytest.raises(NoArticles, match=str(tmp_path)):
            find(tmp_path)


def test_a_project_s_articles_are_its_readme_and_docs(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for path in ("README.md", "other.md", "docs/a.md"):
        (tmp_path / path).write_text("# A\n")
    assert [a.path for a in own_articles(tmp_path)] == ["README.md", "docs/a.md"]


def test_no_two_articles_share_a_page() -> None:
    paths = ["index.md", "a/b.md", "a-b.md", "a.md"]
    assert len({page_of(path) for path in paths} | {"index.html"}) == 5


def _write_neighbours(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "with space.txt").write_text("")
    (folder / "other.md").write_text("# Green tea\n")
