"""What is wrong with an article: links that lead nowhere, headings out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tandem.demo.outline import Heading, Link, Outline, outline


def broken_links(article: Outline, path: Path) -> list[str]:
    """One line for each relative link of the article at `path` that leads nowhere.

    A link to another article's heading needs the heading, too. Links with a scheme
    are left alone: whether another site answers is not this article's fault.
    """
    anchors = {path: article.anchors}
    return [
        f'line {link.line}: "{link.target}" {fault}'
        for link in article.links
        if (fault := _link_fault(link, path, anchors))
    ]


def heading_faults(headings: Sequence[Heading]) -> list[str]:
    """One line for each heading that skips a level, and for each repeated one."""
    return [*_missing_title(headings), *_skips(headings), *_repeats(headings)]


def _link_fault(
    link: Link, path: Path, anchors: dict[Path, frozenset[str]]
) -> str | None:
    parts = urlsplit(link.target)
    if parts.scheme or parts.netloc or parts.path.startswith("/"):
        return None
    target = path.parent / unquote(parts.path) if parts.path else path
    if target != path and not target.exists():
        return "leads nowhere"
    if not parts.fragment or (target != path and target.suffix.lower() != ".md"):
        return None
    if target not in anchors:
        anchors[target] = _anchors(target)
    return None if unquote(parts.fragment) in anchors[target] else "names no heading"


def _anchors(path: Path) -> frozenset[str]:
    return outline(path.read_text(encoding="utf-8")).anchors


def _missing_title(headings: Sequence[Heading]) -> Iterator[str]:
    if not headings:
        yield "there is no heading"
    elif headings[0].level != 1:
        yield f"line {headings[0].line}: the first heading is of level {headings[0].level}"


def _skips(headings: Sequence[Heading]) -> Iterator[str]:
    for before, after in pairwise(headings):
        if after.level > before.level + 1:
            yield (
                f'line {after.line}: "{after.text}" goes from level {before.level}'
                f" to {after.level}"
            )


def _repeats(headings: Sequence[Heading]) -> Iterator[str]:
    counts = Counter(heading.text for heading in headings)
    for text, count in counts.items():
        if count > 1:
            yield f'"{text}" is the heading of {count} parts'
