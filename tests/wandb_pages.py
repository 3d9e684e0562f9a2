"""Workspaces and reports as W&B's server takes them."""

from __future__ import annotations

from typing import Any

OPERATIONS = ("GetDefaultEntity", "GetProjects", "ProjectInternalId", "UpsertView2", "upsertView")


class Pages:
    """What was saved, in order: the variables of each request. ``projects`` are those that there are."""

    def __init__(self, entity: str) -> None:
        self.entity = entity
        self.projects = ["bits"]
        self.saved: list[dict[str, Any]] = []

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        match operation:
            case "GetDefaultEntity":
                return {"viewer": {"id": "user", "entity": self.entity}}
            case "GetProjects":
                common = {"entityName": self.entity, "createdAt": "", "isBenchmark": False, "user": None}
                edges = [{"node": {"id": name, "name": name, **common}} for name in self.projects]
                return {"models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": edges}}
            case "ProjectInternalId":
                there = variables["projectName"] in self.projects
                return {"project": {"id": "project", "internalId": "7"} if there else None}
        self.saved.append(variables)
        view: dict[str, Any] = {"id": f"view{len(self.saved)}", "name": variables["name"]}
        if operation == "upsertView":
            view |= {key: variables[key] for key in ("displayName", "description", "spec")}
            view["project"] = {"id": "7", "name": variables["projectName"], "entityName": variables["entityName"]}
        return {"upsertView": {"view": view, "inserted": True}}
