"""The optional extras resolve together with the versions the tests ran with, and bring in no other Hydra."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("extra", "plugin", "constraints"),
    [
        ("slurm", "hydra-submitit-launcher", "constraints.txt"),
        ("slurm", "hydra-submitit-launcher", "tests/cluster/constraints.txt"),
        ("ray", "hydra-ray-launcher", "tests/cluster/constraints.txt"),
    ],
)
def test_an_extra_resolves_with_the_versions_that_everything_was_tested_with(
    extra: str, plugin: str, constraints: str, tmp_path: Path
) -> None:
    dependencies, extras = wanted()
    versions = resolved([*dependencies, *extras[extra], f"--constraint={CHECKOUT / constraints}"], tmp_path)
    pins = dict(line.strip().split("==") for line in (CHECKOUT / constraints).read_text().splitlines() if "==" in line)
    assert plugin in versions
    assert [versions[name] for name in ("hydra-core", "omegaconf")] == [pins[n] for n in ("hydra-core", "omegaconf")]


@pytest.mark.parametrize("extra", ["slurm", "ray"])
def test_without_constraints_an_extra_brings_no_pre_release_of_hydra(extra: str, tmp_path: Path) -> None:
    """The plugins alone bring a release candidate of Hydra, because they name a pre-release as the least they need."""
    dependencies, extras = wanted()
    (hydra,) = (each for each in dependencies if each.startswith("hydra-core"))
    versions = resolved([hydra, *extras[extra]], tmp_path)
    assert versions["hydra-core"].startswith("1.3.")
    assert versions["hydra-core"].replace(".", "").isdigit()
    assert versions["omegaconf"].replace(".", "").isdigit()


def wanted() -> tuple[list[str], dict[str, list[str]]]:
    """The project's dependencies, and those of each extra."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return project["dependencies"], project["optional-dependencies"]


def resolved(arguments: list[str], folder: Path) -> dict[str, str]:
    """The versions that pip would install for ``arguments`` into an empty environment."""
    report = folder / "report.json"
    install = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--dry-run"]
    subprocess.run(
        [*install, "--ignore-installed", f"--report={report}", *arguments], check=True, stderr=subprocess.DEVNULL
    )
    return {
        each["metadata"]["name"].lower().replace("_", "-"): each["metadata"]["version"]
        for each in json.loads(report.read_text())["install"]
    }


def test_everything_installed_here_fits_together() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
