"""What a Markdown text consists of: headings, links, and prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

HTML_ANCHOR: Final = re.compile(r"""<[^>]*\b(?:id|name)=["']([^"']+)["']""")
NOT_IN_ANCHORS: Final = re.compile(r"[^\w\- ]")

# A heading ends the sentence before it, and is no prose itself.
PROSE: Final = frozenset({"paragraph_open"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """One heading. `anchor` is what a link to it names, as GitHub makes it."""

    level: int
    text: str
    anchor: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where a link or an image leads, as written."""

    target: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One article, taken apart."""

    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    anchors: frozenset[str]
    prose: tuple[str, ...]
    """One text per paragraph, without code."""

    def title(self, *, default: str) -> str:
        """The first heading's text."""
        return next((h.text for h in self.headings if h.text), default)


def parser() -> MarkdownIt:
    """CommonMark with tables. Raw HTML stays text: no article runs a script."""
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def outline(text: str) -> Outline:
    tokens = parser().parse(text)
    headings = tuple(_headings(tokens))
    anchors = {h.anchor for h in headings} | set(HTML_ANCHOR.findall(text))
    return Outline(
        headings=headings,
        links=tuple(_links(tokens)),
        anchors=frozenset(anchors),
        prose=tuple(_prose(tokens)),
    )


def anchors_of(tokens: Sequence[Token]) -> dict[int, str]:
    """The anchor of each heading, by the index of its opening token."""
    seen: dict[str, int] = {}
    found = {}
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            anchor = _anchor(_text(tokens[index + 1]))
            repeats = seen.setdefault(anchor, 0)
            seen[anchor] += 1
            found[index] = f"{anchor}-{repeats}" if repeats else anchor
    return found


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    for index, anchor in anchors_of(tokens).items():
        yield Heading(
            level=int(tokens[index].tag.removeprefix("h")),
            text=_text(tokens[index + 1]),
            anchor=anchor,
            line=_line(tokens[index]),
        )


def _links(tokens: Iterable[Token]) -> Iterator[Link]:
    for token in tokens:
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None:
                yield Link(target=str(target), line=_line(token))


def _prose(tokens: Sequence[Token]) -> Iterator[str]:
    for index, token in enumerate(tokens):
        if token.type in PROSE:
            yield _text(tokens[index + 1], code=False)


def _text(inline: Token, *, code: bool = True) -> str:
    wanted = {"text", "code_inline"} if code else {"text"}
    parts = (
        " " if child.type in {"softbreak", "hardbreak"} else child.content
        for child in inline.children or ()
        if child.type in {*wanted, "softbreak", "hardbreak"}
    )
    return "".join(parts).strip()


def _anchor(text: str) -> str:
    return NOT_IN_ANCHORS.sub("", text.lower()).replace(" ", "-")


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0
