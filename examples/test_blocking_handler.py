from __future__ import annotations

import hashlib
from pathlib import Path

from examples.blocking_handler import BLOCK, handlers
from tandem.testing import HandlerTest, Reason, Stop, TaskState, progressed


def checksum_of(path: Path) -> HandlerTest:
    return HandlerTest(handlers, "checksum", {"path": str(path)})


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (2 * BLOCK))

    ended = checksum_of(file).run()

    assert ended.value() == {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_a_reader_that_is_drained_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (2 * BLOCK))

    ended = checksum_of(file).run(Stop.DRAIN, at=progressed(0.5))

    assert (ended.state, ended.spends_attempt) == (TaskState.PENDING, False)


def test_a_file_that_is_not_there_is_not_looked_for_again(tmp_path: Path) -> None:
    ended = checksum_of(tmp_path / "nothing").run()

    assert (ended.state, ended.reason) == (TaskState.FAILED, Reason.DO_NOT_RETRY)
