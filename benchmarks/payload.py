"""The payload that everybody in a run creates: Tandem, echo, floor and peers."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

PAYLOAD: Final = MappingProxyType(
    {
        "topic": "What a database promises when it says yes",
        "style": "essay",
        "tone": "plain",
        "target_length": 800,
        "keywords": ["commit", "fsync"],
        "draft": True,
    }
)
