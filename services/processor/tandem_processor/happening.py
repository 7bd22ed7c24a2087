"""Waiting for an event, but not for ever."""

from __future__ import annotations

from tandem.happening import happens

__all__ = ["happens"]
