"""What is wrong with an installation, and what to do about it. It only reads."""

from __future__ import annotations
