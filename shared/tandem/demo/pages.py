"""HTML pages, written so that a reader never meets half of one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from tandem.demo.articles import page_of
from tandem.demo.outline import anchors_of, parser
from tandem.demo.style import STYLE

TASK_META: Final = "tandem-task"
"""The meta element that names the task which published a page."""

PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="$meta" content="$task_id">
<title>$title</title>
<style>$style</style>
</head>
<body>
<nav><a href="$index">All articles</a></nav>
<p class="facts">$facts</p>
$contents
<main>
$body</main>
$notes
</body>
</html>
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page is made of, but for its text."""

    task_id: str
    path: str
    """Of the article, in its folder."""

    title: str
    contents: Sequence[Mapping[str, Any]]
    links: Mapping[str, str]
    """Where each rewritten link of the article leads from the page."""

    facts: str
    notes: Sequence[str]


def render_page(text: str, page: Page) -> str:
    """The whole HTML of an article's page."""
    return PAGE.substitute(
        meta=TASK_META,
        task_id=escape(page.task_id),
        title=escape(page.title),
        style=STYLE,
        index=_climb(page_of(page.path)) + "index.html",
        facts=escape(page.facts),
        contents=_contents(page.contents),
        body=_body(text, page.links),
        notes=_notes(page.notes),
    )


def page_link(target: str, *, path: str, folder: Path, output: Path) -> str | None:
    """Where a relative link of the article must lead from its page.

    To the other article's page, or to the file itself. None: leave it as it is.
    """
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    here = (output / page_of(path)).parent
    aim = Path(
        os.path.normpath(folder / PurePosixPath(path).parent / unquote(parts.path))
    )
    if aim.suffix == ".md" and aim.is_relative_to(folder):
        aim = output / page_of(aim.relative_to(folder).as_posix())
    relative = quote(Path(os.path.relpath(aim, here)).as_posix())
    return f"{relative}#{parts.fragment}" if parts.fragment else relative


def write_atomically(path: Path, text: str, *, tag: str) -> None:
    """Put the text at `path` in one step, whoever else does the same.

    Args:
        path: its folder is made if need be.
        text: written as UTF-8.
        tag: tells this writer's unfinished file from that of any other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{tag}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _body(text: str, links: Mapping[str, str]) -> str:
    markdown = parser()
    tokens = markdown.parse(text)
    for index, anchor in anchors_of(tokens).items():
        tokens[index].attrSet("id", anchor)
    for child in (child for token in tokens for child in token.children or ()):
        for attribute in ("href", "src"):
            rewritten = links.get(str(child.attrGet(attribute)))
            if rewritten is not None:
                child.attrSet(attribute, rewritten)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _contents(headings: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f'<li class="level-{heading["level"]}">'
        f'<a href="#{escape(heading["anchor"])}">{escape(heading["text"])}</a></li>'
        for heading in headings
    ]
    if not rows:
        return ""
    return f"<details><summary>Contents</summary><ul>{''.join(rows)}</ul></details>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    rows = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<aside><h2>Notes of the critique</h2><ul class="notes">{rows}</ul></aside>'


def _climb(page: str) -> str:
    return "../" * (len(PurePosixPath(page).parts) - 1)
