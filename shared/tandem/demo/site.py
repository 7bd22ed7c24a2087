"""The output folder: made ready, and made tidy. Only what the demo made is removed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tandem.demo.articles import NoArticles
from tandem.demo.blog_post import DRAFTS
from tandem.demo.index import render_index
from tandem.demo.pages import write_atomically

MARKER: Final = ".made-by-tandem-demo"


def prepare(output: Path) -> None:
    """An empty folder, emptied of an earlier run if need be.

    Raises:
        NoArticles: it holds something that is not ours.
    """
    marker = output / MARKER
    if output.exists() and not marker.exists() and any(output.iterdir()):
        raise NoArticles(f"{output} holds other files: name an empty --output folder")
    for name in ("pages", DRAFTS):
        shutil.rmtree(output / name, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    (output / "index.html").unlink(missing_ok=True)
    marker.touch()


def finish(output: Path, title: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Write the index, and remove drafts and what a killed writer left."""
    ordered = sorted(results, key=lambda result: str(result["path"]))
    write_atomically(output / "index.html", render_index(title, ordered), tag="index")
    shutil.rmtree(output / DRAFTS, ignore_errors=True)
    for unfinished in (output / "pages").rglob(".*"):
        if unfinished.is_file():
            unfinished.unlink()
