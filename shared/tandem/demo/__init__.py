"""The demo: a folder of Markdown articles, published by callers in trouble."""

from __future__ import annotations
