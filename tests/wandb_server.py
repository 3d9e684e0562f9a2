"""As much of a W&B server as runs, syncs and sweeps need: it answers on 127.0.0.1 and remembers what it was sent.

Few imports: the child processes of the tests load this module anew.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb_pages

if TYPE_CHECKING:
    from wandb_sweeps import GridSweep

ENTITY = "someone"
#: Whoever asks for this page makes the server fail from then on.
FAIL_NOW = "/fail-now"
HISTORY, EVENTS, SUMMARY = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json"


@dataclass
class SentRun:
    """One run as it arrived. ``lines`` is what the server keeps of each stream; a line sent to an offset replaces."""

    facts: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=lambda: {HISTORY: [], EVENTS: [], SUMMARY: []})
    history_lines_received: int = 0
    exit_codes: list[int] = field(default_factory=list)

    def receive(self, body: dict[str, Any]) -> None:
        """One request to the run's file stream."""
        for name, part in body.get("files", {}).items():
            lines = self.lines.setdefault(name, [])
            assert part["offset"] <= len(lines), f"{name}: a gap before line {part['offset']}"
            lines[part["offset"] : part["offset"] + len(part["content"])] = part["content"]
            self.history_lines_received += len(part["content"]) if name == HISTORY else 0
        if body.get("complete"):
            self.exit_codes.append(body["exitcode"])

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[HISTORY]]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.lines[SUMMARY][-1])

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.facts["config"]).items()}


class WandbServer:
    """The server, its memory, and the ways in which it can be made to fail."""

    def __init__(self) -> None:
        self.runs: dict[str, SentRun] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.pages = wandb_pages.Pages(ENTITY)
        self.sweep: GridSweep | None = None
        #: What the server does once it is ``failing``: "500" to everything, "slow": keep everybody waiting until it is
        #: released, or "gone": refuse connections. It begins after the operation ``fails_after``, or when told to.
        self.failure: str | None = None
        self.fails_after: str | None = None
        self.failing = False
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening; the port refuses connections from here on."""
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def environment(self, folder: Path) -> dict[str, str]:
        """What a child process needs to find this server and nothing of the person who runs the tests."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0123456789" * 4,
            "WANDB_CONFIG_DIR": str(folder / "home"),
            "WANDB_CACHE_DIR": str(folder / "home"),
            "WANDB_DATA_DIR": str(folder / "home"),
            "HOME": str(folder / "home"),
            "NETRC": str(folder / "home" / "netrc"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """The data of a GraphQL answer."""
        match operation:
            case "Viewer":
                return {"viewer": {"id": "user", "username": ENTITY, "entity": ENTITY, "flags": "{}", "teams": None}}
            case "OrganizationCoreWeaveOrganizationID":
                return {"entity": None}
            case "ServerFeaturesQuery":  # what is newer than the rest of this file
                return {"serverInfo": {"features": []}}
            case "RunResumeStatus":
                return {"model": self.resume_status(variables)}
            case "UpsertBucket":
                return {"upsertBucket": self.upsert(variables)}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/files/{name}"} for name in variables["files"]]
                return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
            case "ArtifactType":  # none of this name yet
                return {"project": {"artifact": None}}
            case "CreateArtifact":
                self.artifacts.append(variables["input"])
                created = {
                    "id": "artifact",
                    "state": "PENDING",
                    "artifactSequence": {"id": "s", "latestArtifact": None},
                }
                return {"createArtifact": {"artifact": created}}
            case "CreateArtifactManifest":
                file = {"id": "manifest", "uploadUrl": f"{self.url}/manifest", "uploadHeaders": []}
                return {"createArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}
            case "CreateArtifactFiles":
                nodes = [
                    {
                        "storagePath": None,
                        "uploadUrl": f"{self.url}/artifact/{file['name']}",
                        "uploadHeaders": [],
                        "uploadMultipartUrls": None,
                        "artifact": {"id": "artifact"},
                    }
                    for file in variables["input"]["artifactFiles"]
                ]
                return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
            case "CommitArtifact":
                return {"commitArtifact": {"artifact": {"id": "artifact", "digest": "digest"}}}
            case "UpsertSweep":
                from wandb_sweeps import GridSweep

                self.sweep = GridSweep(variables["config"])
                return self.sweep.answer(operation, variables)
            case "SweepWithRuns" | "CreateAgent" | "Heartbeat" if self.sweep is not None:
                return self.sweep.answer(operation, variables)
            case _ if operation in wandb_pages.OPERATIONS:
                return self.pages.answer(operation, variables)
        self.unknown.append(operation)
        return None

    def upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        inserted = variables["name"] not in self.runs
        run = self.runs.setdefault(variables["name"], SentRun())
        run.facts.update({key: value for key, value in variables.items() if value is not None})
        project = {"id": "project", "name": run.facts["project"], "entity": {"id": "entity", "name": ENTITY}}
        bucket = {
            "id": "bucket",
            "name": variables["name"],
            "displayName": run.facts.get("displayName"),
            "description": None,
            "config": run.facts.get("config"),
            "sweepName": None,
            "project": project,
            "historyLineCount": len(run.lines[HISTORY]),
        }
        return {"bucket": bucket, "inserted": inserted}

    def resume_status(self, variables: dict[str, Any]) -> dict[str, Any] | None:
        """What wandb asks before it takes a run up again: how much of it there is, and its last lines."""
        run = self.runs.get(variables["name"])
        if run is None:
            return None
        wandbs_own = run.config.get("_wandb", {})  # a run without "t" in it never began and is not taken up
        bucket = {
            "id": "bucket",
            "name": variables["name"],
            "summaryMetrics": run.lines[SUMMARY][-1] if run.lines[SUMMARY] else "{}",
            "displayName": run.facts.get("displayName"),
            "logLineCount": 0,
            "historyLineCount": len(run.lines[HISTORY]),
            "eventsLineCount": len(run.lines[EVENTS]),
            "historyTail": json.dumps(run.lines[HISTORY][-1:]),
            "eventsTail": json.dumps(run.lines[EVENTS][-1:]),
            "config": run.facts.get("config"),
            "tags": run.facts.get("tags"),
            "notes": None,
            "wandbConfig": json.dumps({key: wandbs_own[key] for key in ("t",) if key in wandbs_own}),
        }
        entity = {"id": "entity", "name": ENTITY}
        return {"id": "project", "name": run.facts["project"], "entity": entity, "bucket": bucket}


def handler_of(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    """A request handler that knows its server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.failing |= self.path == FAIL_NOW
            self.reply({})
            if server.failing and server.failure == "gone":
                server.close()

        def do_PUT(self) -> None:
            body = self.body()
            if not self.refused(f"PUT {self.path}"):
                with server.lock:
                    server.files[self.path] = body
                self.reply({})

        def do_POST(self) -> None:
            body = self.body()
            if self.path.startswith("/sdk/"):  # wandb's measurements of itself
                self.reply({})
                return
            if not self.path.endswith("/graphql"):
                if not self.refused("file_stream"):
                    with server.lock:
                        server.runs[self.path.split("/")[-2]].receive(json.loads(body))
                    self.reply({})
                return
            request = json.loads(body)
            named = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            operation = named[1] if named else request["query"]
            if self.refused(operation):
                return
            with server.lock:
                data = server.answer(operation, request.get("variables") or {})
                server.failing |= operation == server.fails_after
            if data is None:
                self.reply({"errors": [{"message": f"{operation} is unknown here"}]}, status=400)
            else:
                self.reply({"data": data})
            if server.failing and server.failure == "gone":
                server.close()

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def refused(self, what: str) -> bool:
            """Note the request; once the server is failing, fail it."""
            with server.lock:
                server.requests.append(what)
            if not server.failing:
                return False
            if server.failure == "slow":
                server.released.wait()
                return False
            if server.failure == "gone":
                self.close_connection = True
            else:
                self.reply({}, status=500)
            return True

        def reply(self, answer: dict[str, Any], status: int = 200) -> None:
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that ends does not say goodbye
                super().handle()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def in_environment(environment: dict[str, str], function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a child process in this environment, without the W&B settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    os.environ.update(environment)
    function(*arguments)
