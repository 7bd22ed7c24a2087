"""What the site has beyond docs/: the contract, the changelog, and linked sources.

A hook of mkdocs (see `mkdocs.yml`). Documents link to files of the repository, as its
readers there need it; here each such file becomes a page, and links lead to that.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.contract_reference import reference

ROOT: Final = Path(__file__).parents[1]
CONTRACT: Final = "protos/tandem/v1"
PAGES: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "results.md",
    CONTRACT: "reference.md",
}
ALWAYS: Final = ("CHANGELOG.md", "benchmarks/RESULTS.md", CONTRACT)

_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for target in sorted(_wanted()):
        content = content_of(target)
        files.append(File.generated(config, page_of(target), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_rest: object) -> str:
    if page.file.generated_by is not None:
        return markdown
    return relinked(markdown, origin=f"docs/{page.file.src_uri}")


def page_of(target: str) -> str:
    """The page or file of the site that stands for this path of the repository."""
    if target.startswith("docs/"):
        inside = target.removeprefix("docs/")
        return f"{inside}/README.md" if (ROOT / target).is_dir() else inside
    return PAGES.get(target, f"source/{target}.md")


def content_of(target: str) -> str:
    """The page, in Markdown, of a path that is not in docs/."""
    path = ROOT / target
    if target == CONTRACT:
        return reference()
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
        return "\n".join([f"# `{target}`", "", *(f"- `{name}`" for name in names), ""])
    if path.suffix == ".md":
        return relinked(path.read_text(), origin=target)
    language = path.suffix.removeprefix(".")
    return f"# `{target}`\n\n~~~~~~{language}\n{path.read_text()}\n~~~~~~\n"


def relinked(markdown: str, *, origin: str) -> str:
    """This document of the repository, with its links as the site has them."""
    here = posixpath.dirname(page_of(origin))

    def there(found: re.Match[str]) -> str:
        target = _resolved(found[1], origin)
        exists = (ROOT / target).exists()
        return posixpath.relpath(page_of(target), here) if exists else found[1]

    return _LINK.sub(there, markdown)


def _resolved(link: str, origin: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))


def _wanted() -> set[str]:
    """Paths outside of docs/ that a page links to, or a page made of such a path."""
    unread = [f"docs/{page.relative_to(ROOT / 'docs')}" for page in _documents()]
    wanted: set[str] = set(ALWAYS)
    unread += [name for name in ALWAYS if name.endswith(".md")]
    while unread:
        new = set(_outside(unread.pop())) - wanted - {"README.md"}
        wanted |= new
        unread += [name for name in new if name.endswith(".md")]
    return wanted


def _documents() -> Iterator[Path]:
    return (ROOT / "docs").rglob("*.md")


def _outside(origin: str) -> Iterator[str]:
    for link in _LINK.findall((ROOT / origin).read_text()):
        target = _resolved(link, origin)
        if not target.startswith(("docs/", "..")) and (ROOT / target).exists():
            yield target
