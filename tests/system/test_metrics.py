"""What a running pair tells Prometheus, and what is made of it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ruamel.yaml import YAML

from tandem.pair import ANY_PORT as LISTEN
from tandem.pair import Logins, Pair
from tandem.v1 import creator_pb2 as pb
from tests.packaging.tree import ROOT, run
from tests.support.cluster import Cluster, Database, cloned_database
from tests.support.creator import a_new_id, a_request
from tests.support.running_pair import RunningPair, running_pair
from tests.support.scrapes import ANY_PORT, Scrape, scrape_of
from tests.support.service_logs import ServiceLogs
from tests.support.tools import needs
from tests.support.until import until
from tests.system.conftest import HANDLERS

DOCUMENT = ROOT / "docs/operations.md"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
RECORDING = ALERTS.with_name("recording.yml")
DASHBOARD = ROOT / "deploy/grafana/tandem.json"

SUFFIXES = {
    "counter": ["_total"],
    "gauge": [""],
    "histogram": ["_bucket", "_sum", "_count"],
}


@pytest.fixture(scope="module")
async def pair(cluster: Cluster, template: str) -> AsyncIterator[RunningPair]:
    """One of each service. A task of theirs has been worked."""
    async with (
        cloned_database(cluster, template) as database,
        running_pair(
            database, handlers=HANDLERS, environ=ANY_PORT, creators=1, processors=1
        ) as running,
    ):
        answer: pb.CreateTaskResponse = await running.creators[0].CreateTask(
            a_request(type="echo", request_id=a_new_id(), payload={"n": 1})
        )
        await running.finished(answer.task.task_id, at=0)
        with pytest.raises(grpc.aio.AioRpcError):
            await running.creators[0].CreateTask(a_request(type="not a name"))
        yield running


async def of_creator(pair: RunningPair) -> Scrape:
    return await scrape_of(pair.logs, "creator-1")


async def of_processor(pair: RunningPair) -> Scrape:
    return await scrape_of(pair.logs, "processor-1")


async def test_a_create_is_counted_from_its_call_to_its_attempt(
    pair: RunningPair,
) -> None:
    creator, processor = await asyncio.gather(of_creator(pair), of_processor(pair))

    create = {"method": "CreateTask"}
    assert creator.total("tandem_rpcs_total", outcome="OK", **create) == 1
    assert creator.total("tandem_rpcs_total", outcome="INVALID_REQUEST", **create) == 1
    assert creator.total("tandem_rpc_duration_seconds_count", **create) == 2
    assert creator.total("tandem_creates_total", outcome="CREATED") == 1
    assert creator.total("tandem_creates_refused_total", reason="INVALID_REQUEST") == 1
    assert creator.total("tandem_micro_batch_creates_sum") == 1
    assert creator.total("tandem_group_members", group="processors") == 1
    consume = {"method": "ConsumeCreatedTasks"}
    assert creator.total("tandem_streams_open", **consume) == 1
    assert not creator.has("tandem_rpc_duration_seconds_count", **consume)
    assert processor.total("tandem_claims_total") == 1
    attempt = {"type": "echo", "outcome": "SUCCEEDED"}
    assert processor.total("tandem_attempts_total", **attempt) == 1
    assert processor.total("tandem_attempt_duration_seconds_count", type="echo") == 1
    assert processor.total("tandem_report_batch_outcomes_sum") == 1
    assert processor.total("tandem_attempts_running") == 0
    assert processor.total("tandem_processors", state="live") == 1
    assert processor.total("tandem_table_dead_rows") >= 0
    for each in (creator, processor):
        assert each.total("tandem_serving") == 1
        assert 1 <= each.total("tandem_pool_connections") <= 10
        assert each.total("tandem_pool_connections_max") == 10
        assert each.has("process_cpu_seconds_total")


async def test_a_stream_is_open_until_its_caller_leaves(pair: RunningPair) -> None:
    stream = pair.creators[0].StreamCreatedTasks(pb.StreamCreatedTasksRequest())
    await stream.read()
    labels = {"method": "StreamCreatedTasks"}
    assert (await of_creator(pair)).total("tandem_streams_open", **labels) == 1

    stream.cancel()

    async def is_closed() -> bool:
        scraped = await of_creator(pair)
        return (
            scraped.total("tandem_streams_open", **labels) == 0
            and scraped.total("tandem_rpcs_total", outcome="CANCELLED", **labels) == 1
        )

    await until(is_closed)


async def test_several_processes_do_not_share_an_address_that_they_inherit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `tandem up` starts: the second one would find the port taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("TANDEM_METRICS_LISTEN", address)
        logs = ServiceLogs()
        logins = Logins(creator_url=database.creator_url, processor_url="")
        async with Pair(logins, handlers=HANDLERS, on_line=logs.add) as started:
            await started.start_creators([LISTEN, LISTEN])

    assert len(logs.having(event="serving")) == 2
    assert logs.having(event="serving metrics") == []


async def exported(pair: RunningPair) -> dict[str, Any]:
    """Every family of ours, by its name as samples spell it."""
    creator, processor = await asyncio.gather(of_creator(pair), of_processor(pair))
    found = {**creator.families, **processor.families}
    return {
        f"{name}_total" if family.type == "counter" else name: family
        for name, family in found.items()
        if not name.startswith("process_")
    }


def documented() -> dict[str, tuple[str, str, set[str]]]:
    """The rows of the table: service, kind and labels by name."""
    section = DOCUMENT.read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1:] for line in section.splitlines() if line[:4] == "| `t"]
    return {
        name.strip(" `"): (
            service.strip(),
            kind.strip(),
            set(re.findall(r"`(\w+)`", labels)),
        )
        for name, service, kind, labels, *_ in rows
    }


async def test_the_table_of_metrics_is_what_is_exported(pair: RunningPair) -> None:
    creator, processor = await asyncio.gather(of_creator(pair), of_processor(pair))
    families = await exported(pair)
    table = documented()

    assert set(table) == set(families)
    for name, (service, kind, labels) in table.items():
        family = families[name]
        where = {
            "creator": family.name in creator.families,
            "processor": family.name in processor.families,
        }
        told = {s for s in where if where[s]}
        assert told == ({"creator", "processor"} if service == "both" else {service})
        assert kind == family.type, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels, name


async def test_alerts_and_dashboard_name_only_what_is_exported(
    pair: RunningPair,
) -> None:
    known = {
        f"{family.name}{suffix}"
        for family in (await exported(pair)).values()
        for suffix in SUFFIXES[family.type]
    }

    recorded = [rule["expr"] for rule in rules_in(RECORDING)]
    for text in (*expressions_of_alerts(), *expressions_of_panels(), *recorded):
        named = set(re.findall(r"\btandem_\w+", text))
        assert named, text
        assert named - known == set(), text


def alert_rules() -> list[dict[str, Any]]:
    return rules_in(ALERTS)


def rules_in(file: Path) -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(file.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def expressions_of_alerts() -> list[str]:
    return [rule["expr"] for rule in alert_rules()]


def expressions_of_panels() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    rules = alert_rules()

    assert len({rule["alert"] for rule in rules}) == len(rules) >= 6
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "action"}


@needs("promtool")
def test_the_rules_record_and_the_alerts_fire_when_they_should() -> None:
    tests = [ALERTS.with_name(f"{name}_test.yml") for name in ("alerts", "recording")]
    checked = run("promtool", "check", "rules", ALERTS, RECORDING)
    tested = run("promtool", "test", "rules", *tests)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert tested.returncode == 0, tested.stdout + tested.stderr
