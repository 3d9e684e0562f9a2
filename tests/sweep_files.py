"""Files of sweeps/ as they are written, and the jobs they ask for, as the command line would find them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from conftest import CONF
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from bnn_ablate.design import AXES
from bnn_ablate.sweep.compose import Compose
from bnn_ablate.sweep.expand import Overrides
from bnn_ablate.sweep.jobs import SweepJobs, sweep_jobs

SWEEPS = CONF.parent / "sweeps"
NAMES = sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def put_images(root: Path) -> Path:
    """A folder in ImageNet's layout; that its images cannot be decoded is nothing to a plan."""
    for part in ("train", "val"):
        (root / part / "cat").mkdir(parents=True)
        (root / part / "cat" / "1.jpg").write_bytes(b"image")
    return root


@dataclass(frozen=True)
class Header:
    """The comment at the top of a file, its numbers of runs taken apart."""

    question: str
    table: str
    runs: str
    expected: str
    command: str

    @property
    def numbers(self) -> list[int]:
        """Cells, seeds, runs; then float networks, seeds, runs where there are some."""
        return [int(number) for number in re.findall(r"\d+", self.runs)]


def text_of(name: str) -> str:
    return (SWEEPS / f"{name}.yaml").read_text()


def header_of(name: str) -> Header:
    """Raises KeyError or TypeError where a line is missing or unknown."""
    fields: dict[str, str] = {}
    label = ""
    for line in takewhile(lambda line: line.startswith("#"), text_of(name).splitlines()[1:]):
        started = re.match(r"# ([A-Z][a-z]+):\s+(.*)", line)
        if started:
            label = started[1].lower()
            fields[label] = started[2]
        else:
            fields[label] += " " + line.removeprefix("#").strip()
    return Header(**fields)


@cache
def loader() -> Any:
    """Hydra's own: it composes long after the block that made it, and other tests open blocks of their own."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return GlobalHydra.instance().config_loader()


@dataclass(frozen=True)
class Asked:
    """What Hydra makes of a command line: the configuration of the sweep itself, and the overrides of its jobs."""

    master: DictConfig
    words: list[str]
    expanded: list[Overrides]

    @property
    def first_seed(self) -> list[Overrides]:
        return [one for one in self.expanded if "seed=0" in one]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job, by Hydra."""
        return loader().load_sweep_config(self.master, list(overrides))


def asked(name: str, images: Path) -> Asked:
    """What the command in the file's header asks; ``images`` is the folder for data=image_folder."""
    words = [word for word in shlex.split(header_of(name).command)[3:] if not word.startswith("data.root=")]
    if name.endswith("_imagenet"):
        words.append(f"data.root={images}")
    master = loader().load_configuration("config", words, run_mode=RunMode.MULTIRUN)
    sweeper = instantiate(master.hydra.sweeper)
    given = [f"{key}={value}" for key, value in sweeper.params.items()]
    parsed = OverridesParser.create(config_loader=loader()).parse_overrides([*given, *words])
    return Asked(master, words, sweeper.expand(parsed))


def cells_of(name: str, one: Asked) -> SweepJobs:
    """The jobs of the first seed. Hydra itself would take a tenth of a second for each."""
    return sweep_jobs(one.first_seed, _laid_over(name, one), folders=[])


def _laid_over(name: str, one: Asked) -> Compose:
    """Composes as Hydra does, but lays the options of a job over the configuration of the sweep.

    Options may bring options of axes that the job does not choose; then comes what the sweep's file says itself, and
    single values come last.
    """
    written = yaml.safe_load(text_of(name))
    master = OmegaConf.to_container(one.master, resolve=False)
    assert isinstance(master, dict)
    del master["hydra"]

    def lay(config: dict[Any, Any], group: str, chosen: str) -> None:
        config[group] = {key: value for key, value in option(group, chosen).items() if key != "defaults"}
        config[group].update(written.get(group, {}))

    def compose(overrides: Sequence[str]) -> DictConfig:
        choices = dict(text.split("=", 1) for text in overrides if text not in one.words)
        config = {**deepcopy(master), "hydra": {}}
        groups = {key: chosen for key, chosen in choices.items() if key in (*AXES, "model")}
        for group, chosen in groups.items():
            for line in option(group, chosen).get("defaults", []):
                if line != "_self_":
                    ((place, brought),) = line.items()
                    partner = place.partition("@_global_.")[2]
                    assert f"override /{partner}:" not in text_of(name), "Hydra would have to decide"
                    if partner not in groups:
                        lay(config, partner, brought)
            lay(config, group, chosen)
        for key, value in choices.items():
            if key not in groups:
                *steps, field = key.split(".")
                block = config
                for step in steps:
                    block = block[step]
                assert field in block, key
                block[field] = yaml.safe_load(value)
        return OmegaConf.create(config)

    return compose


@cache
def option(group: str, name: str) -> dict[str, Any]:
    """What a file of conf/ says."""
    found: dict[str, Any] = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    return found
