"""The index page: every article with its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any, Final
from urllib.parse import quote

from tandem.demo.style import STYLE

INDEX: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
<p class="facts">$facts</p>
<table>
<thead><tr>
<th>Article</th>
<th class="number">Words</th>
<th class="number">Minutes</th>
<th class="number">Reading ease</th>
<th class="number">Links</th>
<th class="number">Notes</th>
</tr></thead>
<tbody>
$rows
</tbody>
</table>
<p class="facts">Reading ease is Flesch's: 0 is for scholars, 60 is plain, 100 is for children.</p>
</body>
</html>
""")


def render_index(title: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The whole HTML of the index, from the results of the articles' tasks."""
    words = sum(result["figures"]["words"] for result in results)
    noun = "article" if len(results) == 1 else "articles"
    return INDEX.substitute(
        title=escape(title),
        style=STYLE,
        facts=f"{len(results)} {noun}, {words:,} words",
        rows="\n".join(_row(result) for result in results),
    )


def _row(result: Mapping[str, Any]) -> str:
    figures = result["figures"]
    ease = figures["reading_ease"]
    cells = (
        f"{figures['words']:,}",
        f"{figures['minutes']}",
        "" if ease is None else f"{ease:.0f}",
        f"{result['links']}",
        f"{len(result['notes'])}",
    )
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    page = escape(quote(result["page"]))
    name = f'<a href="{page}">{escape(result["title"])}</a><br>{escape(result["path"])}'
    return f"<tr><td>{name}</td>{numbers}</tr>"
