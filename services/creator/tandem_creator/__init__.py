"""The creator service: the only thing that brings a task into existence."""

from __future__ import annotations
