"""A sweep as W&B's server keeps it: a grid of cells that agents ask for, one after the other."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import yaml


@dataclass
class Cell:
    """One combination; ``agent`` and ``run_id`` are set once it was handed out, and stay if the agent dies."""

    args: dict[str, Any]
    agent: str | None = None
    run_id: str | None = None


@dataclass
class GridSweep:
    """The grid of a sweep file and who works on which cell of it."""

    config: str
    cells: list[Cell] = field(default_factory=list)
    agents: int = 0
    handed_out: int = 0

    def __post_init__(self) -> None:
        parsed = yaml.safe_load(self.config)
        assert parsed["method"] == "grid"
        self.program = parsed["program"]
        names = list(parsed["parameters"])
        values = [one["values"] if "values" in one else [one["value"]] for one in parsed["parameters"].values()]
        self.cells = [
            Cell({name: {"value": value} for name, value in zip(names, combination, strict=True)})
            for combination in itertools.product(*values)
        ]

    def new_agent(self) -> str:
        self.agents += 1
        return f"agent{self.agents}"

    def heartbeat(self, agent: str, running: dict[str, bool]) -> list[dict[str, Any]]:
        """The agent's next command, once it has nothing to do: a cell that nobody had, or the end."""
        if running:
            return []
        cell = next((cell for cell in self.cells if cell.agent is None), None)
        if cell is None:
            return [{"type": "exit"}]
        self.handed_out += 1
        cell.agent, cell.run_id = agent, f"sweeprun{self.handed_out}"
        return [{"type": "run", "run_id": cell.run_id, "args": cell.args, "program": self.program}]

    def delete_run(self, run_id: str) -> None:
        """What a person does on the page of the sweep with a run that died: its cell is free again."""
        (cell,) = (cell for cell in self.cells if cell.run_id == run_id)
        cell.agent = cell.run_id = None

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer about this sweep."""
        project = {"id": "project", "name": "bits", "entity": {"id": "entity", "name": "someone"}}
        match operation:
            case "UpsertSweep":
                return {
                    "upsertSweep": {"sweep": {"name": "sweep1", "project": project}, "configValidationWarnings": []}
                }
            case "SweepWithRuns":
                sweep = {"id": "s", "name": "sweep1", "method": "grid", "state": "RUNNING", "config": self.config}
                return {"project": {"sweep": {**sweep, "runs": {"edges": []}}}}
            case "CreateAgent":
                return {"createAgent": {"agent": {"id": self.new_agent()}}}
        commands = self.heartbeat(variables["id"], json.loads(variables["runState"]))
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}
