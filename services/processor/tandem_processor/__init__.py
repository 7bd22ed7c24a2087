"""The processor service: reads tasks and moves their status, nothing else."""

from __future__ import annotations
