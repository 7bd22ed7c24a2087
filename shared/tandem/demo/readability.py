"""How hard a text is to read, in the figures that editors use."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*")
SENTENCE_END: Final = re.compile(r"[.!?:;]+(?=\s|$)")
VOWELS: Final = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôû]+")

WORDS_A_MINUTE: Final = 220

# Rudolf Flesch, 1948: from 0 (for scholars) to 100 (for children).
FLESCH_BASE: Final = 206.835
FLESCH_A_WORD: Final = 1.015
FLESCH_A_SYLLABLE: Final = 84.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts of one text's prose, and its Flesch reading ease."""

    words: int
    sentences: int
    syllables: int
    reading_ease: float | None
    """None where there are no words."""

    minutes: int
    """To read it, rounded up."""


def figures(prose: Sequence[str]) -> Figures:
    """Count the prose, one text per paragraph."""
    words = [word for text in prose for word in WORD.findall(text)]
    sentences = sum(_sentences(text) for text in prose)
    syllables = _syllables(words)
    return Figures(
        words=len(words),
        sentences=sentences,
        syllables=syllables,
        reading_ease=_reading_ease(len(words), sentences, syllables),
        minutes=math.ceil(len(words) / WORDS_A_MINUTE),
    )


def _reading_ease(words: int, sentences: int, syllables: int) -> float | None:
    if not words or not sentences:
        return None
    ease = FLESCH_BASE - FLESCH_A_WORD * words / sentences
    return round(ease - FLESCH_A_SYLLABLE * syllables / words, 1)


def _sentences(paragraph: str) -> int:
    if not WORD.search(paragraph):
        return 0
    # A paragraph ends its last sentence, with or without a full stop.
    parts = SENTENCE_END.split(paragraph)
    return max(1, sum(1 for part in parts if WORD.search(part)))


def _syllables(words: Iterable[str]) -> int:
    return sum(_syllables_of(word.lower()) for word in words)


def _syllables_of(word: str) -> int:
    groups = len(VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith("le") and groups > 1
    return max(1, groups - silent)
