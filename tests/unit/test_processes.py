"""What services write, as whoever has started them reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.processes import LONGEST_LINE, DidNotServe, Service, ServiceProcess


async def test_a_process_that_writes_without_a_line_s_end_is_read_to_its_end(
    tmp_path: Path,
) -> None:
    """It would stand still once nobody reads it."""
    (tmp_path / "endless.py").write_text(
        f"print('x' * {2 * LONGEST_LINE})\nprint('and on')\nhandlers = None\n"
    )
    lines: list[str] = []
    process = ServiceProcess(
        Service.PROCESSOR,
        label="processor-1",
        environ={
            "PYTHONPATH": str(tmp_path),
            "TANDEM_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
            "TANDEM_HANDLERS": "endless:handlers",
        },
        on_line=lambda _, line: lines.append(line),
    )

    with pytest.raises(DidNotServe, match="ended with exit code 2"):
        await process.start()

    assert "and on" in lines
