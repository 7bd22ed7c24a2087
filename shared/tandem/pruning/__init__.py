"""Retention, under the janitor's login: finished tasks are stripped, later deleted."""

from __future__ import annotations
