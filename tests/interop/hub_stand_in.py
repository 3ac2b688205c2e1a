"""A server on this machine that answers what ``huggingface_hub`` asks the hub: enough of it to push a model and to fetch it again."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

LICENCES = ("mit", "apache-2.0", "cc-by-4.0", "other")
TOKEN = "hf_the_writers_token"


@dataclass
class Repository:
    """A model's repository: what lies in each commit, the newest last."""

    private: bool = False
    gated: bool = False
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b""}])

    def names(self) -> list[str]:
        return [hashlib.sha1(str((number, sorted(files))).encode()).hexdigest() for number, files in enumerate(self.commits)]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        names = self.names()
        if revision == "main":
            return names[-1], self.commits[-1]
        return next(((name, files) for name, files in zip(names, self.commits, strict=True) if name == revision), None)


@dataclass
class Hub:
    """What the server holds, does and was asked.

    Attributes:
        cut: bytes after which a file's body ends, with the connection.
        status: of every answer, if it is not what it should be.
        forgets_visibility: it makes every repository public, as a server does that knows the older word for it.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: int | None = None
    status: int | None = None
    forgets_visibility: bool = False

    def put(self, name: str, files: dict[str, bytes], **more: Any) -> Repository:
        repository = Repository(commits=[files], **more)
        self.repositories[name] = repository
        return repository

    def asked_for(self, verb: str) -> list[str]:
        return [path for path in self.asked if path.startswith(f"{verb} ")]


class _Answer(Exception):
    def __init__(self, status: int, body: object = None, **headers: str) -> None:
        super().__init__(status)
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


def _refused(status: int, code: str, message: str) -> _Answer:
    return _Answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if self.hub.status is not None:
                raise _Answer(self.hub.status, {"error": "the hub is not well"})
            for pattern, answer in ROUTES.items():
                if (found := re.fullmatch(pattern, f"{self.command} {path}")) is not None:
                    answer(self, body, *found.groups())
            raise _Answer(404, {"error": f"nothing at {path}"})
        except _Answer as answer:
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                cut = self.hub.cut if "ETag" in answer.headers else None
                self.wfile.write(answer.body[:cut])
                self.close_connection = cut is not None

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    @property
    def writer(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self.writer):  # the hub does not tell strangers which of the two it is
            raise _refused(404 if self.writer else 401, "RepoNotFound", "Repository not found")
        return found

    def files(self, name: str, revision: str | None) -> tuple[str, dict[str, bytes]]:
        found = self.repository(name).at(revision or "main")
        if found is None:
            raise _refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    # ---- what is asked

    def info(self, body: bytes, name: str, revision: str | None) -> None:
        sha, files = self.files(name, revision)
        siblings = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
        raise _Answer(200, {"id": name, "sha": sha, "private": self.repository(name).private, "siblings": siblings})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        files = self.files(name, revision)[1]
        raise _Answer(
            200,
            [
                {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for file, content in files.items()
            ],
        )

    def resolve(self, body: bytes, name: str, revision: str, file: str) -> None:
        sha, files = self.files(name, revision)
        if self.repository(name).gated and not self.writer:
            raise _refused(401, "GatedRepo", "Access to this model is restricted")
        if file not in files:
            raise _refused(404, "EntryNotFound", "Entry not found")
        content = files[file]
        raise _Answer(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=sha)

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        if not self.writer:
            raise _Answer(401, {"error": "Invalid username or password."})
        if not name.startswith("owner/"):
            raise _Answer(403, {"error": "You don't have the rights to create a model under this namespace"})
        if name in self.hub.repositories:
            raise _Answer(409, {"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"})
        self.hub.repositories[name] = Repository(private=self._is_private(wanted))
        raise _Answer(200, {"url": f"{self.hub.address}/{name}", "id": name, "name": name})

    def _is_private(self, wanted: dict[str, Any]) -> bool:
        """The library's word for it has changed between its versions 1 and 2."""
        return (wanted.get("visibility") == "private" or wanted.get("private") is True) and not self.hub.forgets_visibility

    def validate(self, body: bytes) -> None:
        front = yaml.safe_load(json.loads(body)["content"].split("---")[1])
        licence = front.get("license")
        if licence is not None and licence not in LICENCES:
            raise _Answer(400, {"errors": [{"message": f'"license" must be one of [{", ".join(LICENCES)}]'}], "warnings": []})
        raise _Answer(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        self.repository(name)
        large = (".safetensors", ".png")
        raise _Answer(
            200,
            {
                "files": [
                    {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(large) else "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
            },
        )

    def batch(self, body: bytes, name: str) -> None:
        wanted = [
            {**one, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}", "header": {}}}}
            for one in json.loads(body)["objects"]
        ]
        raise _Answer(200, {"transfer": "basic", "objects": wanted}, Content_Type="application/vnd.git-lfs+json")

    def upload(self, body: bytes, digest: str) -> None:
        assert hashlib.sha256(body).hexdigest() == digest
        self.hub.large[digest] = body
        raise _Answer(200)

    def commit(self, body: bytes, name: str, revision: str) -> None:
        repository = self.repository(name)
        files = dict(repository.commits[-1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repository.commits.append(files)
        sha = repository.names()[-1]
        raise _Answer(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{sha}", "commitOid": sha, "success": True})


_NAME = r"([^/]+/[^/]+)"
ROUTES: dict[str, Callable[..., None]] = {
    rf"GET /api/models/{_NAME}(?:/revision/(.+))?": _Handler.info,
    rf"GET /api/models/{_NAME}/tree/([^/]+)": _Handler.tree,
    rf"(?:GET|HEAD) /{_NAME}/resolve/([^/]+)/(.+)": _Handler.resolve,
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": _Handler.validate,
    rf"POST /api/models/{_NAME}/preupload/([^/]+)": _Handler.preupload,
    rf"POST /{_NAME}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/([0-9a-f]+)": _Handler.upload,
    rf"POST /api/models/{_NAME}/commit/([^/]+)": _Handler.commit,
}


@contextmanager
def running() -> Iterator[Hub]:
    """The server, until the context ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
