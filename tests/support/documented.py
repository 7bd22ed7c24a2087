"""Commands that documents show, run as they stand there but for the ports."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.command import Finished
from tests.support.running_pair import ROOT, RunningPair

# A block of commands, and the lines that the document says it prints, if it does.
BLOCK: Final = re.compile(
    r"^```sh\n(?P<sh>.*?)^```$(?:\n+^```text\n(?P<text>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


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


async def run(
    commands: str, pair: RunningPair, *, folder: Path = ROOT, limit: float = 60.0
) -> Finished:
    """As a shell runs them that stops at the first failure. `limit` in seconds."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-e",
        "-c",
        _addressed(commands, pair),
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={**os.environ, "PATH": _path()},
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


def _addressed(commands: str, pair: RunningPair) -> str:
    creator = pair.pair.creators[0].address
    processor = pair.pair.processors[0].address
    return commands.replace("127.0.0.1:7101", creator).replace(
        "127.0.0.1:7102", processor
    )


def _path() -> str:
    """What `make` puts on it: buf stands beside this Python."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
