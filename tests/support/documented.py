"""Commands that documents show, run as they stand there but for the ports."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.command import Finished
from tests.support.running_pair import ROOT, RunningPair
from tests.support.shell import shell

# A block of commands, and the lines that the document says it prints, if it does.
BLOCK: Final = re.compile(
    r"^```sh\n(?P<sh>.*?)^```$(?:\n+^```text\n(?P<text>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)

# Whatever a document means to be typed, also inside a list.
TYPED: Final = re.compile(
    r"^(?P<indent> *)```(?P<kind>sh|bash|shell|console)\n(?P<lines>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)

# Set in a sentence or a table. With a subcommand alone it is a name, not a command.
INLINE: Final = re.compile(
    r"(?<!`)`(?:\$ )?(?P<command>(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?"
    r"(?:tandem|pip|python|make|go|npm|docker|kubectl|git)(?: [^\s`]+){2,})`(?!`)"
)

# Two spaces before it: a # inside of quotes has one, or none.
REMARK: Final = re.compile(r"  +# .*")

TYPED_AT: Final = ("$ ", "  ")
"""How a line of a terminal begins that was typed: the rest is what was printed."""

HERE_DOCUMENT: Final = re.compile(r"<<'(\w+)'")


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and what a document says of them."""

    commands: str
    printed: str

    def said(self) -> list[str]:
        """Each piece that must be printed: `...` stands for whatever is between."""
        pieces = (piece.strip() for piece in re.split(r"\.\.\.|\n", self.printed))
        return [piece for piece in pieces if piece]


def blocks(document: str, section: str = "") -> Iterator[Block]:
    """Of the whole document, or of one section."""
    text = (ROOT / document).read_text(encoding="utf-8")
    if section:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    for found in BLOCK.finditer(text):
        yield Block(found["sh"], found["text"] or "")


def commands(text: str) -> Iterator[str]:
    """Each command of a document, whole, without the prompt and the remark."""
    for found in TYPED.finditer(text):
        lines = [line[len(found["indent"]) :] for line in found["lines"].splitlines()]
        if found["kind"] == "console":
            lines = [line.removeprefix("$ ") for line in lines if line[:2] in TYPED_AT]
        yield from _whole(lines)


def inline_commands(text: str) -> list[str]:
    """Each command with an argument that stands in a line, outside of every block."""
    outside = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [found["command"] for found in INLINE.finditer(outside)]


def inline(document: str, start: str) -> str:
    """The one command in a line of a document that begins so."""
    text = (ROOT / document).read_text(encoding="utf-8")
    [found] = {each for each in inline_commands(text) if each.startswith(start)}
    return found


def command(document: str, start: str) -> str:
    """The one command of a document that begins so."""
    text = (ROOT / document).read_text(encoding="utf-8")
    [found] = [each for each in commands(text) if each.startswith(start)]
    return found


async def run(
    commands: str, pair: RunningPair, *, folder: Path = ROOT, limit: float = 60.0
) -> Finished:
    """As a shell runs them that stops at the first failure. `limit` in seconds."""
    return await shell(_addressed(commands, pair), folder=folder, limit=limit)


def _whole(lines: list[str]) -> Iterator[str]:
    begun: list[str] = []
    for line in lines:
        begun.append(REMARK.sub("", line))
        text = "\n".join(begun)
        if text.strip() and _is_whole(text):
            yield text
            begun.clear()
    assert not begun or not "".join(begun).strip(), f"never ends: {begun}"


def _is_whole(text: str) -> bool:
    """Whether a shell would not wait for more."""
    if ends := HERE_DOCUMENT.findall(text):
        return all(f"\n{end}" in text for end in ends)
    if text.endswith("\\"):
        return False
    with suppress(ValueError):
        shlex.split(text)
        return True
    return False


def _addressed(commands: str, pair: RunningPair) -> str:
    creator = pair.pair.creators[0].address
    processor = pair.pair.processors[0].address
    return commands.replace("127.0.0.1:7101", creator).replace(
        "127.0.0.1:7102", processor
    )
