"""The way of spans out of a process: bounded, and never a burden."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from tandem.spans import Kind
from tandem.telemetry import LINE_SECONDS, PatientExporter, Telemetry

SPANS: list[Any] = [None] * 3

LIMIT = 15.0


class Away(SpanExporter):
    """A collector that is not there."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._error is not None:
            raise self._error
        return SpanExportResult.FAILURE


class Mute(SpanExporter):
    """A collector that never answers, until it is cut off."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cut = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.begun.set()
        self.cut.wait(LIMIT)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.cut.set()


def test_spans_that_are_not_taken_make_one_line_a_minute() -> None:
    now = [1000.0]
    exporter = PatientExporter(Away(), clock=lambda: now[0])

    with capture_logs() as lines:
        for _ in range(3):
            exporter.export(SPANS)
        now[0] += LINE_SECONDS
        exporter.export(SPANS)

    assert [line["event"] for line in lines] == ["traces not exported"] * 2
    assert [line["spans"] for line in lines] == [3, 9]


def test_a_defect_of_the_exporter_is_told_by_its_kind_alone() -> None:
    exporter = PatientExporter(Away(ValueError("hunter2")))

    with capture_logs() as lines:
        assert exporter.export(SPANS) is SpanExportResult.FAILURE

    assert [line["why"] for line in lines] == ["ValueError"]
    assert "hunter2" not in repr(lines)


def test_spans_that_find_the_queue_full_are_told_in_the_same_line() -> None:
    exporter = PatientExporter(Away(), clock=lambda: 1000.0)
    record = logging.LogRecord("queue", logging.WARNING, "", 0, "full", (), None)

    with capture_logs() as lines:
        assert exporter.hear(record) is False
        exporter.export(SPANS)

    assert [line["why"] for line in lines] == ["queue full"]


def test_a_collector_that_never_answers_holds_up_the_end_for_a_moment_only() -> None:
    mute = Mute()
    telemetry = Telemetry("creator", mute)
    telemetry.begin("a span", Kind.INTERNAL, {}).end()

    start = time.monotonic()
    telemetry.close(within=0.1)

    assert time.monotonic() - start < LIMIT / 2
    assert mute.begun.is_set()
    assert mute.cut.is_set()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "tandem-creator"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=1,service.name=mine"}, "mine"),
    ],
)
def test_the_name_of_a_service_is_ours_unless_it_is_given(
    environ: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    kept: list[ReadableSpan] = []

    class Keeper(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            kept.extend(spans)
            return SpanExportResult.SUCCESS

    telemetry = Telemetry("creator", Keeper())
    telemetry.begin("a span", Kind.INTERNAL, {}).end()
    telemetry.close()

    (span,) = kept
    assert span.resource.attributes["service.name"] == name
    assert span.resource.attributes["service.instance.id"]
