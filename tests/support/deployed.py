"""What the files of a deployment say, as their own tools would read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from tandem.authentication.kinds import require_choice
from tandem.settings import Settings
from tandem.tls import server_credentials

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "docker-compose.yml"
KUBERNETES: Final = ROOT / "deploy/kubernetes"

NO_MANIFESTS: Final = {"kustomization.yaml", "adapter.yaml"}
"""Kustomize's own files, and what the adapter of metrics is told."""

VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def documents(file: Path) -> list[Any]:
    """All documents of a YAML file."""
    return list(YAML(typ="safe").load_all(file.read_text()))


def compose_services() -> dict[str, dict[str, Any]]:
    """The services of the compose file by name, with their anchors resolved."""
    (document,) = documents(COMPOSE)
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def compose_environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of one service, where Compose itself has the variables `given`."""
    told = compose_services()[name].get("environment", {})
    return {key: interpolated(value, given) for key, value in told.items()}


def interpolated(text: str, given: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?complaint}`, as Compose reads them."""

    def value_of(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if given.get(name):
            return given[name]
        if kind == "-":
            return str(rest)
        raise KeyError(f"{name}: {rest}")

    return VARIABLE.sub(value_of, text)


def manifest_files() -> list[Path]:
    return [
        file
        for file in sorted(KUBERNETES.rglob("*.yaml"))
        if file.name not in NO_MANIFESTS
    ]


def manifests(kind: str) -> dict[str, dict[str, Any]]:
    """All objects of this kind by name."""
    found = [each for file in manifest_files() for each in documents(file)]
    return {each["metadata"]["name"]: each for each in found if each["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """The spec of every pod that the manifests would start, by its owner's name."""
    owners = {**manifests("Deployment"), **manifests("Job")}
    found = {name: each["spec"]["template"] for name, each in owners.items()}
    for name, each in manifests("CronJob").items():
        found[name] = each["spec"]["jobTemplate"]["spec"]["template"]
    return {name: template["spec"] for name, template in found.items()}


def container(name: str) -> dict[str, Any]:
    """The one container of a pod."""
    (found,) = pods()[name]["containers"]
    assert isinstance(found, dict)
    return found


def pod_environment(name: str) -> dict[str, str]:
    """The environment of one pod, with the secrets of the example."""
    found: dict[str, str] = {}
    for source in container(name).get("envFrom", ()):
        found |= manifests("ConfigMap")[source["configMapRef"]["name"]]["data"]
    for each in container(name).get("env", ()):
        reference = each["valueFrom"]["secretKeyRef"]
        secret = manifests("Secret")[reference["name"]]
        found[each["name"]] = secret["stringData"][reference["key"]]
    return found


def assert_may_serve_in_the_clear(
    kind: type[Settings], told: Mapping[str, str]
) -> None:
    """The service understands every word of it, and may listen where it says."""
    understood = {f"TANDEM_{field.name.upper()}" for field in fields(kind)}
    assert told.keys() - understood == set()
    settings = kind.from_environ(told)
    require_choice(settings)
    assert server_credentials(settings) is None
