"""Every statement that the creator sends to Postgres."""

from __future__ import annotations
