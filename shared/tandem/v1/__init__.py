"""The contract as Python, generated from `protos/tandem/v1` by `make protos`."""

from __future__ import annotations
