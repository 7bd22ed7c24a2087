"""A blog post in six stages: one Markdown article becomes one HTML page.

Run it with `tandem processor --handlers tandem.demo.blog_post:handlers`.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

from tandem.demo import critique
from tandem.demo.articles import page_of
from tandem.demo.outline import outline
from tandem.demo.pages import Page, page_link, render_page, write_atomically
from tandem.demo.readability import figures
from tandem.demo.verify import verify
from tandem.handlers import Context, DoNotRetry, Handlers, RetryPolicy

STAGES: Final = ("verify", "parse", "critique", "format", "render", "publish")

DRAFTS: Final = ".drafts"
"""The folder, in the output folder, of pages that are not published yet."""

handlers = Handlers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """The payload of a blog post: which article, and where its page goes."""

    folder: Path
    path: str
    output: Path
    topic: str = ""
    style: str = ""
    tone: str = ""
    target_length: int = 0
    """Words; 0 for any."""

    pace: float = 0.0
    """Seconds before each stage, so that a person can watch."""

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        try:
            folder, output = Path(payload["folder"]), Path(payload["output"])
            return cls(**{**payload, "folder": folder, "output": output})
        except (KeyError, TypeError) as error:
            raise DoNotRetry(f"the payload is no blog post: {error}") from error

    @property
    def source(self) -> Path:
        return self.folder / self.path

    @property
    def page(self) -> Path:
        return self.output / page_of(self.path)

    @property
    def draft(self) -> Path:
        return self.output / DRAFTS / page_of(self.path)

    def text(self) -> str:
        try:
            return self.source.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise DoNotRetry(f"{self.path} cannot be read: {error}") from error


@handlers.register(
    "blog_post", retry=RetryPolicy(initial_backoff=timedelta(milliseconds=200))
)
async def publish_blog_post(ctx: Context) -> dict[str, Any]:
    """Publish one Markdown article as an HTML page.

    Each stage is kept: an attempt after a crash begins where the last one died.
    """
    post = Post.from_payload(ctx.payload)
    kept: dict[str, Any] = {}
    steps: dict[str, tuple[Any, ...]] = {
        "verify": (verify, ctx.task_id),
        "parse": (parse_article, post),
        "critique": (critique_article, post),
        "format": (format_article, post),
        "render": (render_article, post, kept, ctx.task_id),
        "publish": (publish_page, post, ctx.claim),
    }
    for number, name in enumerate(STAGES, 1):
        await asyncio.sleep(post.pace)
        kept[name] = await ctx.stage(name, *steps[name])
        await ctx.progress(number / len(STAGES))
    return _result(post, kept)


def parse_article(post: Post) -> dict[str, Any]:
    article = outline(post.text())
    return {
        "title": article.title(default=post.path),
        "headings": [asdict(heading) for heading in article.headings],
        "links": [link.target for link in article.links],
    }


def critique_article(post: Post) -> dict[str, Any]:
    """Figures and notes. A broken link is no matter of taste: it ends the task."""
    article = outline(post.text())
    if broken := critique.broken_links(article, post.source):
        raise DoNotRetry(f"{post.path}: broken links: {'; '.join(broken)}")
    counted = figures(article.prose)
    notes = critique.heading_faults(article.headings)
    if 0 < post.target_length < counted.words:
        notes.append(
            f"{counted.words} words, where {post.target_length} were asked for"
        )
    return {"figures": asdict(counted), "notes": notes}


def format_article(post: Post) -> dict[str, Any]:
    """Where its links lead from the page, and its table of contents."""
    article = outline(post.text())
    rewritten = {
        link.target: page_link(
            link.target, path=post.path, folder=post.folder, output=post.output
        )
        for link in article.links
    }
    return {
        "links": {target: to for target, to in rewritten.items() if to is not None},
        "contents": [asdict(h) for h in article.headings if h.level > 1],
    }


def render_article(post: Post, kept: dict[str, Any], task_id: str) -> dict[str, Any]:
    """The page as a draft, which no reader sees."""
    counted = kept["critique"]["figures"]
    page = Page(
        task_id=task_id,
        path=post.path,
        title=kept["parse"]["title"],
        contents=kept["format"]["contents"],
        links=kept["format"]["links"],
        facts=f"{counted['words']:,} words, {counted['minutes']} minutes",
        notes=kept["critique"]["notes"],
    )
    html = render_page(post.text(), page)
    write_atomically(post.draft, html, tag=task_id)
    return {"bytes": len(html.encode())}


def publish_page(post: Post, claim: int) -> dict[str, Any]:
    """Put the draft in its place in one step; once more does no harm."""
    html = post.draft.read_text(encoding="utf-8")
    write_atomically(post.page, html, tag=str(claim))
    return {"page": page_of(post.path)}


def _result(post: Post, kept: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": post.path,
        "page": kept["publish"]["page"],
        "title": kept["parse"]["title"],
        "links": len(kept["parse"]["links"]),
        **kept["critique"],
    }
