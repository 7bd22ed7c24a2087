"""What the image and the compose file say, as far as it can be judged without Docker."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tandem.client.channels import options
from tandem.postgres.passwords import Passwords
from tandem_creator.settings import CreatorSettings
from tandem_processor.settings import ProcessorSettings
from tests.packaging.tree import ROOT, run
from tests.support.deployed import (
    COMPOSE,
    assert_may_serve_in_the_clear,
    compose_environment,
    compose_services,
    documents,
)

DOCKERFILE = (ROOT / "Dockerfile").read_text()
GRAFANA = ROOT / "deploy/grafana"

GIVEN = {
    f"TANDEM_{name}_PASSWORD": f"{name.lower()}-secret"
    for name in ("ADMIN", "OWNER", "CREATOR", "PROCESSOR", "JANITOR", "GRAFANA")
}

SERVING: dict[str, type[CreatorSettings | ProcessorSettings]] = {
    "creator-1": CreatorSettings,
    "creator-2": CreatorSettings,
    "processor-1": ProcessorSettings,
    "processor-2": ProcessorSettings,
}
OURS = {*SERVING, "migrate", "key", "prune"}
LOGINS = {
    **{name: name.partition("-")[0] for name in SERVING},
    "key": "owner",
    "prune": "janitor",
}


def test_the_deploy_files_are_what_their_tools_accept() -> None:
    checked = run("make", "check-deploy")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_secret_has_a_default() -> None:
    text = COMPOSE.read_text()
    used = re.findall(r"\$\{(\w*PASSWORD\w*)([^}]*)\}", text)

    assert used
    assert [name for name, rest in used if not rest.startswith(":?")] == []


@pytest.mark.parametrize("name", SERVING)
def test_a_service_is_told_only_what_it_understands_and_may_listen(name: str) -> None:
    told = {
        key: value
        for key, value in compose_environment(name, GIVEN).items()
        if key.startswith("TANDEM_")
    }

    assert_may_serve_in_the_clear(SERVING[name], told)


@pytest.mark.parametrize("name", SERVING)
def test_keys_are_asked_for_at_every_service_once_they_are_at_one(name: str) -> None:
    kind = SERVING[name]
    by_default, asked = (
        kind.from_environ(compose_environment(name, {**GIVEN, **more})).auth
        for more in ({}, {"TANDEM_AUTH": "key"})
    )

    assert (by_default, asked) == ((), ("key",))


def test_an_empty_token_of_a_processor_counts_as_none() -> None:
    none, one = (
        ProcessorSettings.from_environ(
            compose_environment("processor-1", {**GIVEN, **more})
        ).credentials
        for more in ({}, {"TANDEM_CLIENT_TOKEN": "secret"})
    )

    assert (none.metadata(), one.token) == ((), "secret")


def test_migrate_is_given_every_role_s_password() -> None:
    wanted = {f"TANDEM_{role.name.upper()}_PASSWORD" for role in fields(Passwords)}

    assert wanted <= compose_environment("migrate", GIVEN).keys()


@pytest.mark.parametrize("name", LOGINS)
def test_a_service_logs_in_as_itself_and_knows_no_other_secret(name: str) -> None:
    told = compose_environment(name, GIVEN)
    role = LOGINS[name]
    [url] = [value for key, value in told.items() if key.endswith("_URL")]

    assert urlsplit(url).username == f"tandem_{role}"
    assert urlsplit(url).password == f"{role}-secret"
    others = set(GIVEN.values()) - {f"{role}-secret"}
    assert [secret for secret in others if secret in str(told)] == []


def test_no_port_is_open_to_others_than_this_machine() -> None:
    ports = [
        port
        for service in compose_services().values()
        for port in service.get("ports", ())
    ]

    assert len(ports) == len(set(ports)) == 6
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", SERVING)
def test_ports_agree_and_a_drain_is_not_cut_short(name: str) -> None:
    service = compose_services()[name]
    told = compose_environment(name, GIVEN)
    listen = told["TANDEM_LISTEN"].rpartition(":")[2]

    assert service["healthcheck"]["test"][-1] == f"127.0.0.1:{listen}"
    assert service["ports"][0].split(":")[-1] == listen
    assert listen in re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0].split()
    grace = float(told["TANDEM_GRACE"])
    assert float(service["stop_grace_period"].removesuffix("s")) >= grace + 20


def test_a_processor_follows_every_creator() -> None:
    told = compose_environment("processor-1", GIVEN)["TANDEM_CREATOR_ADDRESS"]

    assert told == ",".join(f"{each}:7101" for each in SERVING if "creator" in each)


def test_prometheus_asks_each_service_where_it_answers() -> None:
    (config,) = documents(ROOT / "deploy/prometheus/prometheus.yml")
    targets = {
        target
        for job in config["scrape_configs"]
        for target in job["static_configs"][0]["targets"]
    }
    listening = {
        f"{name}:{listen.rpartition(':')[2]}"
        for name in SERVING
        if (listen := compose_environment(name, GIVEN)["TANDEM_METRICS_LISTEN"])
    }

    assert targets == listening
    folder = ROOT / "deploy/prometheus"
    assert all((folder / name).exists() for name in config["rule_files"])


def test_grafana_finds_its_dashboard_and_its_prometheus() -> None:
    (sources,) = documents(GRAFANA / "provisioning/datasources/prometheus.yml")
    (providers,) = documents(GRAFANA / "provisioning/dashboards/tandem.yml")
    mounted = [v.split(":")[1] for v in compose_services()["grafana"]["volumes"]]

    (source,) = sources["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = providers["providers"]
    folder = Path(provider["options"]["path"])
    assert str(folder / "tandem.json") in mounted
    (asked,) = json.loads((GRAFANA / "tandem.json").read_text())["templating"]["list"]
    assert (asked["type"], asked["query"]) == ("datasource", source["type"])


def test_every_file_that_compose_mounts_is_there() -> None:
    volumes = [
        volume.split(":")[0]
        for service in compose_services().values()
        for volume in service.get("volumes", ())
    ]
    mounted = [name for name in volumes if name.startswith("./")]

    assert len(mounted) == 3
    assert [name for name in mounted if not (ROOT / name).exists()] == []


def test_every_image_names_a_version() -> None:
    images = {name: each["image"] for name, each in compose_services().items()}

    assert {images[name] for name in OURS} == {"tandem-tasks:${TANDEM_VERSION:-dev}"}
    assert all(":" in image and "latest" not in image for image in images.values())
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-\w+", DOCKERFILE, re.MULTILINE)


def test_the_image_runs_as_nobody_in_particular_and_has_no_compiler() -> None:
    final = DOCKERFILE.split("\nFROM ")[-1]

    assert re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert "\nRUN" not in final
    assert "-slim-" in DOCKERFILE


def test_a_name_of_several_addresses_is_called_in_turn() -> None:
    def policy(*addresses: str) -> str:
        config = json.loads(dict(options(addresses))["grpc.service_config"])
        (found,) = config["loadBalancingConfig"]
        return str(next(iter(found)))

    assert policy("dns:///creator:7101") == "round_robin"
    assert policy("creator:7101") == "pick_first"
