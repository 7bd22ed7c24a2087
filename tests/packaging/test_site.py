"""The site that `make docs` builds, in a real browser."""

from __future__ import annotations

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from tandem.errors import BY_REASON
from tandem.testing import HandlerTest
from tandem.v1 import creator_pb2, processor_pb2, task_pb2
from tests.packaging.tree import ROOT, run
from tests.support.browser import PREFERS_DARK, PREFERS_LIGHT, visit
from tests.support.tools import needs

PICTURES = sorted(file.name for file in (ROOT / "docs/pictures").glob("*.svg"))


class Read(HTMLParser):
    """The ids and the links of one page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in {"href", "src"} and value is not None:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = _built(ROOT, folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


# Never --quiet: mkdocs counts only the warnings that it prints.
def _built(root: Path, folder: Path) -> CompletedProcess[str]:
    command = ("-m", "mkdocs", "build", "--strict", "--site-dir", folder)
    return run(sys.executable, *command, cwd=root)


@needs("chromium")
@pytest.mark.parametrize(
    ("prefers", "scheme"), [(PREFERS_LIGHT, "default"), (PREFERS_DARK, "slate")]
)
def test_every_page_opens_without_an_error_and_with_its_pictures(
    site: Path, tmp_path: Path, prefers: str, scheme: str
) -> None:
    pages = [f"/{page.relative_to(site)}" for page in _pages(site)]

    seen = visit(site, pages, profile=tmp_path, prefers=prefers)

    assert [told["page"] for told in seen.reports] == pages
    for fault in ("wrong", "missing", "elsewhere"):
        assert {told["page"]: told[fault] for told in seen.reports if told[fault]} == {}
    assert {told["scheme"] for told in seen.reports} == {scheme}
    assert sum(told["pictures"] for told in seen.reports) >= len(PICTURES)
    assert (seen.refused, seen.console) == ([], [])


@pytest.mark.parametrize("link", ["gone.md", "start.md#gone"])
def test_a_broken_link_fails_the_build(tmp_path: Path, link: str) -> None:
    site_files = ("mkdocs.yml", "buf.yaml", "protos", "tools", "shared", "docs")
    for name in (*site_files, "README.md", "CHANGELOG.md", "benchmarks", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (tmp_path / "docs/ids.md").open("a") as page:
        page.write(f"\n[Gone]({link})\n")

    built = _built(tmp_path, tmp_path / "site")

    assert built.returncode == 1
    assert link in built.stderr


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    read = {page: Read(page) for page in _pages(site)}

    broken = [
        (page.name, link)
        for page, found in read.items()
        for link in found.links
        if not _leads_somewhere(link, page, read, site)
    ]

    assert len(read) > 20
    assert broken == []


def _leads_somewhere(link: str, page: Path, read: dict[Path, Read], site: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return parts.scheme == "https" and "." in parts.netloc
    path, anchor = urldefrag(link)
    # 404.html alone is served at any depth, so its links are from the root.
    start = site if path.startswith("/") else page.parent
    target = (start / unquote(path).lstrip("/")).resolve() if path else page
    if target.is_dir():
        target /= "index.html"
    known = read.get(target)
    return target.is_file() and (
        not anchor or known is None or unquote(anchor) in known.ids
    )


def test_the_reference_has_every_method_message_field_and_reason(site: Path) -> None:
    page = site / "reference.html"
    ids, text = Read(page).ids, page.read_text()

    files = [module.DESCRIPTOR for module in (task_pb2, creator_pb2, processor_pb2)]
    for file in files:
        for service in file.services_by_name.values():
            assert {f"{service.name}.{each.name}" for each in service.methods} <= ids
        for message in file.message_types_by_name.values():
            assert message.name in ids
            assert [
                f.name for f in message.fields if f"<code>{f.name}</code>" not in text
            ] == []
    for reason in BY_REASON:
        assert f"<code>{reason}</code>" in text


def test_every_picture_is_shown_among_the_concepts() -> None:
    text = (ROOT / "docs/concepts.md").read_text()

    assert sorted(re.findall(r"\(pictures/(.+\.svg)\)", text)) == PICTURES


def test_the_site_begins_as_the_readme_does() -> None:
    readme, index = (
        (ROOT / name).read_text().replace("(docs/", "(").splitlines()
        for name in ("README.md", "docs/index.md")
    )

    promises = [line for line in readme if line.startswith("| ")][:7]

    assert readme[:10] == index[:10]
    assert promises[0] == "| | what is promised |"
    assert [line for line in promises if line not in index] == []


def test_the_handler_among_the_guides_runs() -> None:
    text = (ROOT / "docs/guides.md").read_text()
    block, *_ = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    module: dict[str, object] = {}
    exec(block, module)

    tested = HandlerTest(module["handlers"], "word_count", {"text": "a cup of tea"})  # type: ignore[arg-type]

    assert len([line for line in block.splitlines() if line]) <= 12
    assert tested.run().value() == {"words": 4}


def test_the_other_code_among_the_guides_is_that_of_the_examples() -> None:
    text = (ROOT / "docs/guides.md").read_text()
    _, *blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    examples = [
        (ROOT / f"examples/{name}.py").read_text()
        for name in ("remote_provider", "retrying_client")
    ]

    found = [[block in example for example in examples] for block in blocks]

    assert found == [[True, False], [True, False], [False, True]]


def _pages(site: Path) -> list[Path]:
    return sorted(page for page in site.rglob("*.html") if page.name != "404.html")
