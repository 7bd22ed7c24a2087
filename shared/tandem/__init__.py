"""Tandem: tasks created once, and processed without loss.

Importing this package imports nothing else. `tandem.v1` is the contract,
`tandem.client` what it takes to call it; both need only the base install.
"""

from __future__ import annotations
