"""What the manifests for Kubernetes say, as far as it can be judged without a cluster."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from tandem.postgres.passwords import Passwords
from tandem_creator.settings import CreatorSettings
from tandem_processor.settings import ProcessorSettings
from tests.support.deployed import (
    KUBERNETES,
    assert_may_serve_in_the_clear,
    container,
    documents,
    manifest_files,
    manifests,
    pod_environment,
    pods,
)

SERVING: dict[str, type[CreatorSettings | ProcessorSettings]] = {
    "creator": CreatorSettings,
    "processor": ProcessorSettings,
}
KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))

DRAIN = 20.0
"""Seconds that reports and farewells may take after TANDEM_GRACE."""


def test_every_manifest_is_listed_and_every_listed_one_is_there() -> None:
    listed = {
        (file.parent / name).resolve()
        for file in KUSTOMIZATIONS
        for name in documents(file)[0]["resources"]
    }

    assert {path for path in listed if not path.exists()} == set()
    example = KUBERNETES / "secrets.example.yaml"
    assert set(manifest_files()) - listed == {example}


@pytest.mark.parametrize("name", SERVING)
def test_a_pod_is_told_only_what_it_understands_and_may_listen(name: str) -> None:
    assert_may_serve_in_the_clear(SERVING[name], pod_environment(name))


def test_the_migration_is_given_every_role_s_password() -> None:
    wanted = {f"TANDEM_{role.name.upper()}_PASSWORD" for role in fields(Passwords)}

    assert pod_environment("migrate").keys() == wanted | {"TANDEM_ADMIN_URL"}


@pytest.mark.parametrize(
    ("name", "variable", "role"),
    [
        ("creator", "TANDEM_DATABASE_URL", "tandem_creator"),
        ("processor", "TANDEM_DATABASE_URL", "tandem_processor"),
        ("prune", "TANDEM_JANITOR_URL", "tandem_janitor"),
    ],
)
def test_a_pod_logs_in_as_itself(name: str, variable: str, role: str) -> None:
    told = pod_environment(name)

    assert urlsplit(told[variable]).username == role
    assert [value for value in told.values() if "REPLACE" in value] == [told[variable]]


def test_the_example_holds_no_secret() -> None:
    for secret in manifests("Secret").values():
        for value in secret["stringData"].values():
            password = urlsplit(value).password if "://" in value else value
            assert password == "REPLACE"


@pytest.mark.parametrize("name", SERVING)
def test_ports_agree(name: str) -> None:
    told = pod_environment(name)
    listen, metrics = (
        int(told[variable].rpartition(":")[2])
        for variable in ("TANDEM_LISTEN", "TANDEM_METRICS_LISTEN")
    )
    ports = {p["name"]: p["containerPort"] for p in container(name)["ports"]}
    template = manifests("Deployment")[name]["spec"]["template"]["metadata"]
    (served,) = manifests("Service")[name]["spec"]["ports"]
    policies = manifests("NetworkPolicy")

    assert ports == {"grpc": listen, "metrics": metrics}
    assert served["port"] == listen
    assert container(name)["readinessProbe"]["grpc"]["port"] == listen
    assert template["annotations"]["prometheus.io/port"] == str(metrics)
    (rule,) = policies[f"callers-of-the-{name}"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": listen}]
    assert {"port": metrics} in policies["prometheus"]["spec"]["ingress"][0]["ports"]


def test_a_processor_calls_every_creator_by_the_headless_service() -> None:
    service = manifests("Service")["creator"]["spec"]
    port = service["ports"][0]["port"]

    assert service["clusterIP"] == "None"
    told = pod_environment("processor")["TANDEM_CREATOR_ADDRESS"]
    assert told == f"dns:///creator:{port}"


@pytest.mark.parametrize("name", SERVING)
def test_a_drain_is_not_cut_short(name: str) -> None:
    hook = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = float(pod_environment(name)["TANDEM_GRACE"])

    assert pods()[name]["terminationGracePeriodSeconds"] >= hook + grace + DRAIN


@pytest.mark.parametrize("name", SERVING)
def test_health_takes_away_calls_and_never_the_process(name: str) -> None:
    """Health is NOT_SERVING while the database is away, which no restart mends."""
    here = container(name)

    assert "grpc" in here["readinessProbe"]
    assert "tcpSocket" in here["livenessProbe"]
    assert "tcpSocket" in here["startupProbe"]


@pytest.mark.parametrize("name", SERVING)
def test_one_of_each_service_is_always_there(name: str) -> None:
    deployment = manifests("Deployment")[name]["spec"]
    budget = manifests("PodDisruptionBudget")[name]["spec"]
    labels = deployment["template"]["metadata"]["labels"]

    assert deployment["replicas"] > budget["minAvailable"] >= 1
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    for selector in (
        deployment["selector"]["matchLabels"],
        budget["selector"]["matchLabels"],
        manifests("Service")[name]["spec"]["selector"],
    ):
        assert selector == labels


def test_every_pod_has_as_few_rights_as_can_be() -> None:
    for name, pod in pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(name)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container(name)["resources"]["limits"]["memory"], name


def test_every_pod_runs_the_one_image_at_a_version() -> None:
    assert {container(name)["image"] for name in pods()} == {"tandem-tasks:dev"}
    renamed = [
        image
        for file in KUSTOMIZATIONS
        for image in documents(file)[0].get("images", ())
    ]
    assert [image["name"] for image in renamed] == ["tandem-tasks"] * 2
    assert all(image["newTag"] != "latest" for image in renamed)


def test_the_autoscaler_reads_what_is_recorded_and_told() -> None:
    scaler = manifests("HorizontalPodAutoscaler")["processor"]["spec"]
    metric = scaler["metrics"][0]["external"]["metric"]
    (adapter,) = documents(KUBERNETES / "autoscaled/adapter.yaml")
    (rule,) = adapter["rules"]["external"]
    recorded = YAML(typ="safe").load(
        (KUBERNETES.parent / "prometheus/recording.yml").read_text()
    )["groups"][0]["rules"][0]["record"]

    assert metric["name"] == rule["name"]["as"]
    assert re.match(r"[\w:]+", rule["seriesQuery"])[0] == recorded  # type: ignore[index]
    queues = pod_environment("processor")["TANDEM_QUEUES"].split(",")
    assert metric["selector"]["matchLabels"]["queue"] in queues
    assert scaler["scaleTargetRef"]["name"] in manifests("Deployment")


def test_the_page_on_deployment_names_files_that_are_there() -> None:
    root = KUBERNETES.parents[1]
    page = (root / "docs/deployment.md").read_text()
    named = set(re.findall(r"deploy/[\w./-]+\w", page))

    assert len(named) >= 5
    assert [name for name in named if not (root / Path(name)).exists()] == []
