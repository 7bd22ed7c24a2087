"""The wheel, installed alone: a virtual environment with nothing but the light client."""

from __future__ import annotations

import shutil
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.packaging.tree import ROOT, run

NEEDS = {"grpcio", "protobuf", "googleapis-common-protos"}
"""What the base install brings along; all else is behind an extra."""

TYPES = {"types-grpcio", "types-protobuf"}
"""What a client that checks its types installs beside it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def packages(self) -> Path:
        major, minor = sys.version_info[:2]
        return self.folder / f"lib/python{major}.{minor}/site-packages"


def build_wheel(into: Path) -> Path:
    """The wheel of this tree, built without fetching anything."""
    built = run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
        *("--outdir", into, ROOT),
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = into.glob("tandem_tasks-*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path) -> Environment:
    """Only the wheel, and what its metadata demands without extras."""
    venv.create(folder, with_pip=False, symlinks=True)
    made = Environment(folder)
    installed = run(
        *(sys.executable, "-m", "pip", "--python", made.python),
        *("install", "--quiet", "--no-index", "--no-deps", wheel),
    )
    assert installed.returncode == 0, installed.stderr
    for name in base_requirements(made):
        copy_distribution(distribution(name), into=made.packages)
    return made


def base_requirements(made: Environment) -> set[str]:
    """What the installed wheel demands, with the demands of those."""
    (info,) = made.packages.glob("tandem_tasks-*.dist-info")
    found: set[str] = set()
    todo = demands(Distribution.at(info))
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= demands(distribution(name)) - found
    return found


def demands(package: Distribution) -> set[str]:
    required = [Requirement(text) for text in package.requires or ()]
    return {
        each.name
        for each in required
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }


def copy_distribution(package: Distribution, *, into: Path) -> None:
    """Install from here what is installed here: no index is asked."""
    for file in package.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = into / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), target)
