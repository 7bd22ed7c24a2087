"""Programs that some tests run, and that a machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(tool: str) -> pytest.MarkDecorator:
    """Where tools are required, their absence fails the test by itself."""
    absent = shutil.which(tool) is None and not os.environ.get("TANDEM_REQUIRE_TOOLS")
    return pytest.mark.skipif(absent, reason=f"{tool} is not on the PATH")
