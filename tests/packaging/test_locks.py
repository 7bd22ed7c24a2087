from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.packaging.tree import ROOT, committed_files

LOCKS = sorted(ROOT.glob("requirements*.lock"))

# Put together here, or this file would be the one that names them.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
    )
]


def requirements(lock: Path) -> dict[str, str]:
    """The lines of a lock by package, with everything said about each."""
    text = re.sub(r"^\s*#.*$", "", lock.read_text(), flags=re.MULTILINE)
    entries = text.replace("\\\n", " ").split("\n")
    return {entry.split("==")[0]: entry for entry in entries if entry.strip()}


def test_there_is_a_lock_for_the_services_the_build_and_the_developers() -> None:
    assert [lock.name for lock in LOCKS] == [
        "requirements-build.lock",
        "requirements-dev.lock",
        "requirements.lock",
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_requirement_is_pinned_by_hash(lock: Path) -> None:
    for name, entry in requirements(lock).items():
        assert re.match(
            rf"{re.escape(name)}==\S+ .*--hash=sha256:[0-9a-f]{{64}}", entry
        )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_host_and_no_place(lock: Path) -> None:
    found = re.findall(
        r"://|^\s*(?:-i|-f|--(?!hash)\S+)|file:/", lock.read_text(), re.MULTILINE
    )

    assert found == []


def asked_for(*extras: str) -> list[Requirement]:
    """What pyproject.toml demands of an install with these extras, here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"]]
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("requirements.lock", ["server", "traces"]),
        ("requirements-dev.lock", ["server", "dev"]),
    ],
)
def test_a_lock_has_what_the_project_asks_for(name: str, extras: list[str]) -> None:
    locked = requirements(ROOT / name)

    for asked in asked_for(*extras):
        version = locked[asked.name].split("==")[1].split()[0]
        assert asked.specifier.contains(version), f"{asked}: run `make lock`"


def test_the_locks_agree() -> None:
    services, build, dev = (
        requirements(ROOT / f"requirements{name}.lock")
        for name in ("", "-build", "-dev")
    )

    assert services == {name: dev[name] for name in services}
    shared = build.keys() & dev.keys()
    assert {name: build[name] for name in shared} == {
        name: dev[name] for name in shared
    }


def test_the_python_client_s_requirements_are_those_that_are_locked() -> None:
    pins = (ROOT / "examples/clients/python/requirements.txt").read_text().split()

    locked = requirements(ROOT / "requirements-dev.lock")
    assert [pin for pin in pins if pin != locked[pin.split("==")[0]].split()[0]] == []


def test_each_package_of_the_typescript_client_is_pinned_by_hash() -> None:
    lock = json.loads(
        (ROOT / "examples/clients/typescript/package-lock.json").read_text()
    )

    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) >= 6
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_no_file_names_a_package_registry() -> None:
    named = [
        f"{file.relative_to(ROOT)}: {registry}"
        for file in committed_files()
        for registry in REGISTRIES
        if registry.encode() in file.read_bytes()
    ]

    assert named == []
