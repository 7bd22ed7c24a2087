"""Traces whose collector or whose extra is not there, or whose settings are wrong."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from tandem.client import Spec, result_of
from tests.packaging.tree import run
from tests.support.cluster import Database
from tests.support.running_pair import (
    handlers_path,
    running_pair,
)
from tests.support.tracing import a_traceparent, client_of

HANDLERS = "tests.support.trace_handlers:handlers"


async def test_a_collector_that_never_answers_costs_no_call_and_one_line(
    database: Database,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        environ = {
            "TANDEM_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_HEADERS": "hunter2 is no header",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
        }
        async with running_pair(
            database, handlers=HANDLERS, environ=environ, creators=1, processors=1
        ) as pair:
            async with client_of(pair.pair) as client:
                specs = [Spec(project="blog", type="plain") for _ in range(20)]
                created = [await client.create(spec) for spec in specs]
            for each in created:
                await pair.finished(each.task.task_id, at=0)
            lines = [
                await pair.logs.first(event="traces not exported", label=label)
                for label in ("creator-1", "processor-1")
            ]
            assert all(line["spans"] >= 1 for line in lines)
            start = time.monotonic()
        assert time.monotonic() - start < 20
    assert len(pair.logs.having(event="traces not exported")) == 2
    warned = {line["event"] for line in pair.logs.having(level="warning")}
    assert warned == {"authentication is off", "traces not exported"}
    assert pair.logs.having(level="error") == []
    assert "hunter2" not in pair.logs.text()


@pytest.fixture
def without_extra(tmp_path: Path) -> str:
    """A path on which OpenTelemetry cannot be imported, as where it is not installed."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text(
        'raise ModuleNotFoundError("No module named opentelemetry")\n'
    )
    return f"{tmp_path}:{handlers_path()}"


async def test_without_the_extra_handlers_see_the_traceparent_of_the_caller(
    database: Database, without_extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", without_extra)
    traceparent = a_traceparent()
    async with running_pair(
        database, handlers=HANDLERS, creators=1, processors=1
    ) as pair:
        async with client_of(pair.pair) as client:
            created = await client.create(
                Spec(project="blog", type="plain"), traceparent=traceparent
            )
        task = await pair.finished(created.task.task_id, at=0)

    assert result_of(task) == {"stage": traceparent, "own": traceparent}


@pytest.fixture
def never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a service that is to be refused before it looks for its database."""
    monkeypatch.setenv("TANDEM_TRACES", "true")
    monkeypatch.setenv("TANDEM_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("TANDEM_HANDLERS", HANDLERS)


@pytest.mark.usefixtures("never_reached")
@pytest.mark.parametrize("service", ["creator", "processor"])
def test_traces_without_the_extra_are_refused_in_one_line(
    service: str, without_extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", without_extra)

    started = run(sys.executable, "-m", f"tandem_{service}")

    assert started.returncode == 2
    assert started.stderr.count("\n") == 1
    assert "install tandem-tasks[server,traces]" in started.stderr


@pytest.mark.usefixtures("never_reached")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "must be grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "could not convert string to float"),
    ],
)
def test_what_opentelemetry_cannot_read_is_refused_in_one_line(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    started = run(sys.executable, "-m", "tandem_creator")

    assert started.returncode == 2
    assert started.stderr.count("\n") == 1
    assert "TANDEM_TRACES is true" in started.stderr
    assert said in started.stderr
