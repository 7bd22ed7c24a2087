"""The articles of a folder, and the page that each becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

# Where no articles of a project's own are kept.
PASSED_OVER: Final = frozenset({"node_modules", "build", "dist", "site"})


class NoArticles(ValueError):
    """There is nothing to publish. The message says where was looked."""


@dataclass(frozen=True, slots=True, order=True)
class Article:
    """One Markdown file, by its path in the folder that is published."""

    path: str

    @property
    def page(self) -> str:
        """The path of its HTML page in the output folder."""
        return page_of(self.path)


def page_of(path: str) -> str:
    """The page of an article. No two articles share one, and none is the index's."""
    return str(PurePosixPath("pages", f"{path.removesuffix('.md')}.html"))


def find_articles(folder: Path) -> list[Article]:
    """Every Markdown file under `folder`, but for hidden and built ones.

    Raises:
        NoArticles: there is none, or no such folder.
    """
    if not folder.is_dir():
        raise NoArticles(f"{folder} is not a folder")
    found = sorted(Article(path) for path in _paths(folder, folder))
    if not found:
        raise NoArticles(f"there is no Markdown file (*.md) in {folder}")
    return found


def own_articles(folder: Path) -> list[Article]:
    """The README and docs of the project in `folder`.

    Raises:
        NoArticles: it has neither.
    """
    found = [Article(path) for path in _paths(folder / "docs", folder)]
    if (folder / "README.md").is_file():
        found.append(Article("README.md"))
    if not found:
        raise NoArticles(
            f"{folder.absolute()} has no README.md and no docs: name a --folder"
        )
    return sorted(found)


def _paths(here: Path, folder: Path) -> Iterator[str]:
    if not here.is_dir():
        return
    for entry in here.iterdir():
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir() and entry.name not in PASSED_OVER:
            yield from _paths(entry, folder)
        elif entry.is_file() and entry.suffix == ".md":
            yield entry.relative_to(folder).as_posix()
