from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest

from examples import remote_provider
from examples.fake_provider import FakeProvider, serving
from tandem.testing import HandlerTest, Point, Reason, Stop, TaskState, unkept, unnoted


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with serving() as running:
        monkeypatch.setenv("PROVIDER_ADDRESS", running.address)
        monkeypatch.setattr(remote_provider, "POLL_SECONDS", 0.001)
        yield running


def a_video() -> HandlerTest:
    return HandlerTest(remote_provider.handlers, "remote_video", {"image": "a.jpg"})


def test_a_video_is_made_and_its_remote_id_is_noted(provider: FakeProvider) -> None:
    test = a_video()

    assert test.run().value() == {"url": "https://videos.example/remote-1.mp4"}
    assert test.annotations == {"provider_id": "remote-1"}
    assert provider.calls == [test.task_id]


@pytest.mark.parametrize("at", [unkept("submit"), unnoted("provider_id")], ids=str)
def test_killed_after_the_answer_it_finds_the_same_remote_task(
    provider: FakeProvider, at: Point
) -> None:
    test = a_video()

    test.run(Stop.CRASH, at=at)
    test.run().value()

    assert len(provider.remotes) == 1
    assert set(provider.calls) == {test.task_id}


def test_a_provider_that_is_away_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("PROVIDER_ADDRESS", f"127.0.0.1:{silent.getsockname()[1]}")
        ended = a_video().run()

    assert isinstance(ended.error, ConnectionRefusedError)
    assert (ended.state, ended.reason) == (TaskState.PENDING, Reason.HANDLER_ERROR)


def test_a_busy_provider_says_when_to_come_back(provider: FakeProvider) -> None:
    provider.busy_seconds = 90

    assert a_video().run().delay == timedelta(seconds=90)


def test_what_the_provider_refuses_is_not_tried_again(provider: FakeProvider) -> None:
    test = a_video()
    provider.make("/videos", test.task_id, {"image": "another.jpg"})

    ended = test.run()

    assert (ended.state, ended.reason) == (TaskState.FAILED, Reason.DO_NOT_RETRY)
    assert "422" in ended.message
