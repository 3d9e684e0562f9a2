"""docs/AXES.md: its commands compose, its numbers of runs are right, and it leaves no option out and makes none up."""

from __future__ import annotations

import re
import shlex
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONF, composed
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bnn_ablate.design import AXES
from bnn_ablate.pretraining import float_settings
from bnn_ablate.settings import Settings, SettingsError, read_settings

PAGE = (Path(__file__).parent.parent / "docs" / "AXES.md").read_text()
START = "    python -m bnn_ablate "


@dataclass(frozen=True)
class Command:
    """A command of the page, and the line above it, which says how many runs it makes."""

    line: str
    above: str

    def cells(self) -> list[list[str]]:
        words = shlex.split(self.line)[3:]
        parsed = OverridesParser.create().parse_overrides([word for word in words if word != "-m"])
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        assert len(jobs) == 1 or "-m" in words, f"a grid needs -m: {self.line}"
        return [list(job) for job in jobs]


def commands() -> list[Command]:
    lines = PAGE.splitlines()
    return [Command(line.strip(), lines[i - 1].strip()) for i, line in enumerate(lines) if i and line.startswith(START)]


def refused() -> list[str]:
    """Each combination in the first column of the table of part 3."""
    table = PAGE.partition("## 3. What is refused")[2]
    return [text for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for text in re.findall("`(.*?)`", row)]


# --- composing, most of it without Hydra, which takes a quarter of a second a job ---------------------------------


@cache
def by_hydra(overrides: tuple[str, ...]) -> dict[str, Any]:
    plain = OmegaConf.to_container(composed(*overrides), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def cell(overrides: list[str]) -> dict[str, Any]:
    """The composed configuration: groups that are no axes come from Hydra, the rest is laid over them here."""
    packaged = set(re.findall(r"@(\w+)\.", " ".join(overrides)))  # +recipe@pretrain.recipe=... is beyond us
    axes = set(AXES) - packaged
    ours = [text for text in overrides if re.match(r"\w+\.", text) or text.partition("=")[0] in axes]
    config = deepcopy(by_hydra(tuple(text for text in overrides if text not in ours)))
    chosen = dict(text.split("=", 1) for text in ours)
    for axis in [name for name in chosen if name in axes]:
        option = yaml.safe_load((CONF / axis / f"{chosen[axis]}.yaml").read_text())
        for line in option.pop("defaults", []):
            if line != "_self_":
                ((group, brought),) = line.items()
                partner = group.partition("@_global_.")[2]
                if partner not in chosen:
                    config[partner] = yaml.safe_load((CONF / partner / f"{brought}.yaml").read_text())
        config[axis] = option
    for name in [name for name in chosen if "." in name]:
        *groups, field = name.split(".")
        block = config
        for group in groups:
            block = block[group]
        block[field] = yaml.safe_load(chosen[name])
    return config


def settings_of(overrides: list[str]) -> Settings:
    return read_settings(cell(overrides))


@pytest.mark.parametrize("command", commands()[::7], ids=lambda command: command.line[len(START) - 4 :])
def test_cells_composed_here_are_those_that_hydra_composes(command):
    overrides = command.cells()[-1]
    assert settings_of(overrides) == read_settings(by_hydra(tuple(overrides)))


# --- commands -----------------------------------------------------------------------------------------------------


def test_the_page_has_commands_for_every_ablation_of_the_paper():
    swept = " ".join(command.line for command in commands())
    for axis in ("scaling", "downsample", "grad", "pretrain", "bottleneck", "growth", "shortcut", "order", "model"):
        assert re.search(rf" {axis}=\w+,\w+", swept), axis


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.line[len(START) - 4 :])
def test_every_cell_of_a_command_is_valid_and_the_page_counts_them(command):
    cells = command.cells()
    settings = [settings_of(overrides) for overrides in cells]
    floats = {first for first in map(float_settings, settings) if first is not None}
    runs = "1 run" if len(cells) == 1 else f"{len(cells)} runs"
    counted = f"{runs} + {len(floats)} float networks" if floats else runs
    assert command.above.startswith(f"# {counted}: "), f"{counted}, and the page says {command.above}"


def test_no_two_cells_of_a_command_are_the_same_run():
    for command in commands():
        cells = command.cells()
        assert len({settings_of(overrides) for overrides in cells}) == len(cells), command.line


def test_commands_are_safe_to_paste_where_square_brackets_mean_file_names():
    for command in commands():
        assert all(re.fullmatch(r"'.*'", word) for word in command.line.split() if "[" in word), command.line


@pytest.mark.parametrize("combination", refused())
def test_what_the_page_says_is_refused_is_refused(combination):
    overrides = shlex.split(combination)
    with pytest.raises(SettingsError):
        settings_of(overrides)


# --- options ------------------------------------------------------------------------------------------------------


def spans() -> list[str]:
    """The text in backticks outside code blocks, on one line each."""
    prose = "\n".join(line for line in PAGE.splitlines() if not line.startswith("    "))
    return re.findall("`(.+?)`", prose.replace("\n", " "))


@pytest.mark.parametrize("axis", AXES)
def test_every_axis_and_every_option_of_it_is_named_in_its_block(axis):
    headings = re.findall(r"^### (.*)$", PAGE.partition("## 2.")[0], re.MULTILINE)
    (heading,) = [line for line in headings if axis in re.split("[:,] ?", line.partition("`")[0])]
    for path in (CONF / axis).glob("*.yaml"):
        assert f"`{path.stem}`" in heading


def test_every_model_is_named():
    assert {path.stem for path in (CONF / "model").glob("*.yaml")} <= set(spans())


def test_every_option_that_the_page_names_exists():
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    named = [text for span in spans() for text in span.split()] + [
        word for command in commands() for word in shlex.split(command.line)
    ]
    choices = [text.split("=", 1) for text in named if "=" in text]
    checked = 0
    for group, values in ((group, values) for group, values in choices if group in groups):
        for value in values.split(","):
            assert (CONF / group / f"{value}.yaml").exists(), f"{group}={value}"
            checked += 1
    assert checked > 100


def test_every_setting_that_the_page_names_exists():
    files = [path for path in CONF.glob("*/*.yaml") if path.parent.name != "trainer"]
    fields = {f"{path.parent.name}.{field}" for path in files for field in yaml.safe_load(path.read_text())}
    groups = {field.partition(".")[0] for field in fields}
    for name in re.findall(r"[ `']([a-z_]+\.[a-z_]+)\b", PAGE):
        if name.partition(".")[0] in groups:
            assert name in fields, name
