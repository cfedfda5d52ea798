"""A small GitHub: its REST API over HTTP on loopback, from memory and from real git repositories.

`python -m tests.fakes.github_server` serves the sample repository, for trying things by hand.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tests.repositories import Sample, build_sample

Json = dict[str, Any]

TOKEN: Final = "fake-token-of-the-forgehand-bot"
DAY_ONE: Final = datetime(2026, 1, 1, tzinfo=UTC)
COMMITS_LISTED: Final = 250
FILES_LISTED: Final = 3_000
LONGEST_PATCH: Final = 100_000
LONGEST_COMMENT: Final = 65_536
STATUSES: Final = {
    "A": "added",
    "D": "removed",
    "M": "modified",
    "R": "renamed",
    "C": "copied",
    "T": "changed",
}


@dataclass(frozen=True, slots=True)
class Account:
    """A user or a bot."""

    id: int
    login: str
    type: str = "User"

    def json(self) -> Json:
        return {"login": self.login, "id": self.id, "type": self.type, "site_admin": False}


BOT: Final = Account(9_001, "forgehand-bot")
STRANGER: Final = Account(9_002, "stranger")


@dataclass(slots=True)
class RecordedRequest:
    """What a client sent; `x-client-port` among the headers tells its connections apart."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` requests of that method whose path contains `path`.

    Without a status the connection is cut. With `afterwards` the request is carried out first.
    """

    status: int | None = None
    message: str = "Server Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    path: str = ""
    times: int = 1
    afterwards: bool = False
    delay: float = 0.0
    raw: bytes | None = None

    def strikes(self, request: RecordedRequest) -> bool:
        return self.times > 0 and self.method in {None, request.method} and self.path in request.path


@dataclass(slots=True)
class Reply:
    """An answer. `body` is JSON unless it is bytes; `items` are a list to be paged, of its field `within`."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    items: Sequence[Json] | None = None
    within: str | None = None


class Failure(Exception):
    """An answer with an error's status."""

    def __init__(self, status: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.reply = Reply(
            status,
            {
                "message": message,
                **more,
                "documentation_url": "https://docs.github.com/rest",
                "status": str(status),
            },
        )


NOT_FOUND: Final = (404, "Not Found")


@dataclass(slots=True)
class StoredComment:
    """A comment on an issue or a pull request."""

    id: int
    author: Account
    body: str
    at: datetime


@dataclass(slots=True)
class StoredPull:
    """A pull request. Commits and files come from git unless they are given."""

    number: int
    title: str
    base_sha: str
    head_sha: str
    body: str | None = None
    author: Account = STRANGER
    merge_commit_sha: str | None = None
    merged_at: datetime | None = None
    updated_at: datetime | None = None
    closed: bool = False
    base: str | None = None
    labels: Sequence[str] = ()
    commits: Sequence[Json] | None = None
    files: Sequence[Json] | None = None


@dataclass(slots=True)
class StoredRepository:
    """A repository: pull requests and conversations, over a git repository at `path` if there is one."""

    name: str
    path: Path | None = None
    default_branch: str = "main"
    pulls: dict[int, StoredPull] = field(default_factory=dict)
    conversations: dict[int, list[StoredComment]] = field(default_factory=dict)

    def add_pull(self, pull: StoredPull) -> StoredPull:
        self.pulls[pull.number] = pull
        self.conversations.setdefault(pull.number, [])
        return pull

    def git(self, *arguments: str) -> bytes:
        """The output of git; a failure is GitHub's 404."""
        if self.path is None:
            raise Failure(*NOT_FOUND)
        done = subprocess.run(["git", "-C", str(self.path), *arguments], capture_output=True, check=False)
        if done.returncode:
            raise Failure(404, f"No commit found: {done.stderr.decode(errors='replace')[:100]}")
        return done.stdout

    def own_commits(self, pull: StoredPull) -> Sequence[Json]:
        if pull.commits is not None:
            return pull.commits
        return self.log("--reverse", f"{pull.base_sha}..{pull.head_sha}")

    def own_files(self, pull: StoredPull) -> Sequence[Json]:
        return self.diff(pull.base_sha, pull.head_sha) if pull.files is None else pull.files

    def log(self, *revisions: str) -> list[Json]:
        out = self.git("log", "-z", "--format=%H%x01%P%x01%an%x01%ae%x01%aI%x01%B", *revisions, "--")
        return [_commit(record) for record in out.decode(errors="replace").split("\0") if record]

    def diff(self, base: str, head: str) -> list[Json]:
        fields = self.git("diff", "--raw", "-z", "--no-abbrev", "-M", f"{base}...{head}", "--").split(b"\0")
        files = []
        while len(fields) > 1:
            *_, new_sha, letter = fields.pop(0).decode().split(" ")
            names = [fields.pop(0) for _ in range(2 if letter[0] in "RC" else 1)]
            files.append(self._file(f"{base}...{head}", letter[0], new_sha, names))
        return files

    def _file(self, span: str, letter: str, new_sha: str, names: list[bytes]) -> Json:
        paths = [f":(literal){name.decode(errors='replace')}" for name in names]
        counts = self.git("diff", "--numstat", "-z", "-M", span, "--", *paths).split(b"\t")
        added, deleted = (0, 0) if counts[0] in {b"-", b""} else (int(counts[0]), int(counts[1]))
        text = self.git("diff", "-M", span, "--", *paths).decode(errors="replace")
        _, at, hunks = text.partition("\n@@")
        entry: Json = {
            "sha": new_sha,
            "filename": names[-1].decode(errors="replace"),
            "status": STATUSES.get(letter, "modified"),
            "additions": added,
            "deletions": deleted,
            "changes": added + deleted,
        }
        if at and len(hunks) <= LONGEST_PATCH:
            entry["patch"] = f"@@{hunks}".rstrip("\n")
        if len(names) > 1:
            entry["previous_filename"] = names[0].decode(errors="replace")
        return entry


def _commit(record: str) -> Json:
    sha, parents, name, email, date, message = record.split("\x01", 5)
    author = {"name": name, "email": email, "date": date}
    return {
        "sha": sha,
        "commit": {"message": message.strip("\n"), "author": author, "committer": author},
        "author": None,
        "parents": [{"sha": parent} for parent in parents.split()],
    }


class FakeGitHub:
    """Use it as a context manager, on any thread.

    `token` belongs to `identity`; `knows_user=False` makes it an app's installation token, which
    may not ask REST who it is. `prefix` is `/api/v3` for GitHub Enterprise.
    """

    def __init__(
        self, *, token: str = TOKEN, identity: Account = BOT, prefix: str = "", knows_user: bool = True
    ) -> None:
        self.token = token
        self.identity = identity
        self.prefix = prefix
        self.knows_user = knows_user
        self.repositories: dict[str, StoredRepository] = {}
        self.moved: dict[str, str] = {}
        self.journal: list[RecordedRequest] = []
        self.faults: list[Fault] = []
        self._ids = count(1_000)
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler, self)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.api_url = self.origin + prefix
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeGitHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def add_repository(self, name: str, path: Path | None = None) -> StoredRepository:
        repository = StoredRepository(name, path)
        self.repositories[name] = repository
        return repository

    def say(self, name: str, number: int, author: Account, body: str) -> StoredComment:
        """Add a comment without a request."""
        with self._lock:
            identity = next(self._ids)
            comment = StoredComment(identity, author, body, DAY_ONE + timedelta(seconds=identity))
            self.repositories[name].conversations[number].append(comment)
            return comment

    def delete_comment(self, name: str, comment_id: int) -> None:
        for thread in self.repositories[name].conversations.values():
            thread[:] = [comment for comment in thread if comment.id != comment_id]

    def comments(self, name: str, number: int) -> list[StoredComment]:
        return self.repositories[name].conversations[number]

    def requests(self, method: str, path: str = "") -> list[RecordedRequest]:
        """Those of that method whose path contains `path`."""
        return [request for request in self.journal if request.method == method and path in request.path]

    def fail(self, fault: Fault) -> None:
        self.faults.append(fault)

    # What follows runs on the server's threads.

    def answer(self, request: RecordedRequest) -> Reply | None:
        """None: cut the connection."""
        with self._lock:
            self.journal.append(request)
            fault = next((fault for fault in self.faults if fault.strikes(request)), None)
            if fault is not None:
                fault.times -= 1
        if fault is None:
            return self._carry_out(request)
        if fault.afterwards:
            self._carry_out(request)
        time.sleep(fault.delay)
        if fault.status is None:
            return None
        body = {"message": fault.message} if fault.raw is None else fault.raw
        return Reply(fault.status, body, dict(fault.headers))

    def _carry_out(self, request: RecordedRequest) -> Reply:
        try:
            self._authenticate(request)
            with self._lock:
                return self._paged(request, self._dispatch(request))
        except Failure as failure:
            return failure.reply

    def _authenticate(self, request: RecordedRequest) -> None:
        given = request.headers.get("authorization")
        if given is not None and given not in {f"token {self.token}", f"Bearer {self.token}"}:
            raise Failure(401, "Bad credentials")
        if given is None and request.method != "GET":
            raise Failure(401, "Requires authentication")

    def _dispatch(self, request: RecordedRequest) -> Reply:
        graphql = self.prefix.removesuffix("/v3") + "/graphql"
        if request.path == graphql:
            viewer = {"databaseId": self.identity.id, "login": self.identity.login}
            return Reply(body={"data": {"viewer": viewer}})
        path = request.path.removeprefix(self.prefix)
        for method, pattern, act in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                return act(self, request, **match.groupdict())
        raise Failure(*NOT_FOUND)

    def _paged(self, request: RecordedRequest, reply: Reply) -> Reply:
        if reply.items is None:
            return reply
        size = min(int(request.query.get("per_page", 30)), 100)
        page = int(request.query.get("page", 1))
        chosen = list(reply.items[(page - 1) * size : page * size])
        reply.body = chosen if reply.within is None else {**_as_json(reply.body), reply.within: chosen}
        last = max(1, -(-len(reply.items) // size))
        links = {"next": page + 1, "last": last} if page < last else {}
        links |= {"prev": page - 1, "first": 1} if page > 1 else {}
        address = self.origin + quote(request.path)
        if links:
            reply.headers["Link"] = ", ".join(
                f'<{address}?{urlencode({**request.query, "page": number})}>; rel="{name}"'
                for name, number in links.items()
            )
        return reply

    def _repository(self, name: str) -> StoredRepository:
        found = {known.lower(): repository for known, repository in self.repositories.items()}
        if name.lower() not in found:
            raise Failure(*NOT_FOUND)
        return found[name.lower()]

    def _pull(self, name: str, number: str) -> tuple[StoredRepository, StoredPull]:
        repository = self._repository(name)
        if int(number) not in repository.pulls:
            raise Failure(*NOT_FOUND)
        return repository, repository.pulls[int(number)]

    def _comment(self, name: str, comment: StoredComment, number: int) -> Json:
        at = _instant(comment.at)
        return {
            "id": comment.id,
            "node_id": f"IC_{comment.id}",
            "url": f"{self.api_url}/repos/{name}/issues/comments/{comment.id}",
            "html_url": f"{self.origin}/{name}/pull/{number}#issuecomment-{comment.id}",
            "user": comment.author.json(),
            "created_at": at,
            "updated_at": at,
            "author_association": "NONE",
            "body": comment.body,
        }

    def _listed_pull(self, repository: StoredRepository, pull: StoredPull) -> Json:
        closed = pull.closed or pull.merged_at is not None
        updated = pull.updated_at or pull.merged_at or DAY_ONE
        return {
            "id": pull.number + 500_000,
            "number": pull.number,
            "state": "closed" if closed else "open",
            "title": pull.title,
            "body": pull.body,
            "user": pull.author.json(),
            "html_url": f"{self.origin}/{repository.name}/pull/{pull.number}",
            "labels": [{"id": index, "name": name} for index, name in enumerate(pull.labels)],
            "merged_at": pull.merged_at and _instant(pull.merged_at),
            "updated_at": _instant(updated),
            "merge_commit_sha": pull.merge_commit_sha,
            "head": {"ref": "topic", "sha": pull.head_sha, "repo": None},
            "base": {
                "ref": pull.base or repository.default_branch,
                "sha": pull.base_sha,
                "repo": self._about(repository),
            },
        }

    def _about(self, repository: StoredRepository) -> Json:
        owner, _, name = repository.name.partition("/")
        return {
            "id": 77,
            "name": name,
            "full_name": repository.name,
            "private": False,
            "owner": {"login": owner, "id": 1, "type": "Organization"},
            "html_url": f"{self.origin}/{repository.name}",
            "default_branch": repository.default_branch,
        }

    # The routes.

    def get_user(self, request: RecordedRequest) -> Reply:
        if "authorization" not in request.headers:
            raise Failure(401, "Requires authentication")
        if not self.knows_user:
            raise Failure(403, "Resource not accessible by integration")
        return Reply(body=self.identity.json())

    def get_repository(self, request: RecordedRequest, repo: str) -> Reply:
        if repo in self.moved:
            return _moved(self.api_url + f"/repos/{self.moved[repo]}", 301)
        return Reply(body=self._about(self._repository(repo)))

    def get_pulls(self, request: RecordedRequest, repo: str) -> Reply:
        repository = self._repository(repo)
        wanted = request.query
        pulls = [self._listed_pull(repository, pull) for pull in repository.pulls.values()]
        pulls = [pull for pull in pulls if wanted.get("state", "open") in {"all", pull["state"]}]
        pulls = [pull for pull in pulls if wanted.get("base") in {None, pull["base"]["ref"]}]
        key = "updated_at" if wanted.get("sort") == "updated" else "number"
        pulls.sort(key=lambda pull: pull[key], reverse=wanted.get("direction", "desc") == "desc")
        return Reply(items=pulls)

    def get_pull(self, request: RecordedRequest, repo: str, number: str) -> Reply:
        if repo in self.moved:
            return _moved(self.api_url + f"/repos/{self.moved[repo]}/pulls/{number}", 301)
        repository, pull = self._pull(repo, number)
        files, commits = repository.own_files(pull), repository.own_commits(pull)
        counts = {
            "merged": pull.merged_at is not None,
            "commits": len(commits),
            "changed_files": len(files),
            "additions": sum(file["additions"] for file in files),
            "deletions": sum(file["deletions"] for file in files),
        }
        return Reply(body={**self._listed_pull(repository, pull), **counts})

    def get_pull_commits(self, request: RecordedRequest, repo: str, number: str) -> Reply:
        repository, pull = self._pull(repo, number)
        return Reply(items=repository.own_commits(pull)[:COMMITS_LISTED])

    def get_pull_files(self, request: RecordedRequest, repo: str, number: str) -> Reply:
        repository, pull = self._pull(repo, number)
        return Reply(items=repository.own_files(pull)[:FILES_LISTED])

    def get_compare(self, request: RecordedRequest, repo: str, base: str, head: str) -> Reply:
        repository = self._repository(repo)
        for pull in repository.pulls.values():
            if (pull.base_sha, pull.head_sha) == (base, head):
                commits = repository.own_commits(pull)
                return Reply(body={"total_commits": len(commits)}, items=commits, within="commits")
        raise Failure(*NOT_FOUND)

    def get_commits(self, request: RecordedRequest, repo: str) -> Reply:
        repository = self._repository(repo)
        return Reply(items=repository.log(request.query.get("sha", repository.default_branch)))

    def get_contents(self, request: RecordedRequest, repo: str, path: str) -> Reply:
        repository = self._repository(repo)
        revision = request.query.get("ref", repository.default_branch)
        name = f"{revision}:{path}"
        if repository.git("cat-file", "-t", name).strip() == b"tree":
            names = repository.git("ls-tree", "-z", "--name-only", name).decode().split("\0")
            return Reply(body=[{"name": entry, "type": "file"} for entry in names if entry])
        if "raw" not in request.headers.get("accept", ""):
            raise Failure(415, "This server only speaks the raw media type")
        media = {"Content-Type": "application/vnd.github.raw+json; charset=utf-8"}
        return Reply(200, repository.git("cat-file", "blob", name), media)

    def get_comments(self, request: RecordedRequest, repo: str, number: str) -> Reply:
        repository = self._repository(repo)
        thread = repository.conversations.get(int(number))
        if thread is None:
            raise Failure(*NOT_FOUND)
        return Reply(items=[self._comment(repository.name, comment, int(number)) for comment in thread])

    def post_comment(self, request: RecordedRequest, repo: str, number: str) -> Reply:
        if repo in self.moved:
            return _moved(self.api_url + f"/repos/{self.moved[repo]}/issues/{number}/comments", 307)
        repository = self._repository(repo)
        if int(number) not in repository.conversations:
            raise Failure(*NOT_FOUND)
        comment = self.say(repository.name, int(number), self.identity, _body_of(request))
        return Reply(201, self._comment(repository.name, comment, int(number)))

    def patch_comment(self, request: RecordedRequest, repo: str, comment: str) -> Reply:
        repository = self._repository(repo)
        for number, thread in repository.conversations.items():
            for stored in thread:
                if stored.id == int(comment):
                    stored.body = _body_of(request)
                    return Reply(body=self._comment(repository.name, stored, number))
        raise Failure(*NOT_FOUND)


_REPO: Final = r"/repos/(?P<repo>[^/]+/[^/]+)"
_NUMBER: Final = r"/(?P<number>\d+)"
_ROUTES: Final[Sequence[tuple[str, str, Callable[..., Reply]]]] = (
    ("GET", "/user", FakeGitHub.get_user),
    ("GET", _REPO, FakeGitHub.get_repository),
    ("GET", _REPO + "/pulls", FakeGitHub.get_pulls),
    ("GET", _REPO + "/pulls" + _NUMBER, FakeGitHub.get_pull),
    ("GET", _REPO + "/pulls" + _NUMBER + "/commits", FakeGitHub.get_pull_commits),
    ("GET", _REPO + "/pulls" + _NUMBER + "/files", FakeGitHub.get_pull_files),
    ("GET", _REPO + r"/compare/(?P<base>\w+)\.\.\.(?P<head>\w+)", FakeGitHub.get_compare),
    ("GET", _REPO + "/commits", FakeGitHub.get_commits),
    ("GET", _REPO + r"/contents/(?P<path>(?s:.+))", FakeGitHub.get_contents),
    ("GET", _REPO + "/issues" + _NUMBER + "/comments", FakeGitHub.get_comments),
    ("POST", _REPO + "/issues" + _NUMBER + "/comments", FakeGitHub.post_comment),
    ("PATCH", _REPO + r"/issues/comments/(?P<comment>\d+)", FakeGitHub.patch_comment),
)


def _body_of(request: RecordedRequest) -> str:
    body = json.loads(request.body).get("body")
    if not isinstance(body, str) or not body.strip():
        raise Failure(422, "Validation Failed", errors=[{"field": "body", "code": "missing"}])
    if len(body) > LONGEST_COMMENT:
        raise Failure(422, f"Body is too long (maximum is {LONGEST_COMMENT} characters)")
    return body


def _moved(url: str, status: int) -> Reply:
    return Reply(status, {"message": "Moved Permanently", "url": url}, {"Location": url})


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_json(body: object) -> Json:
    return body if isinstance(body, dict) else {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], github: FakeGitHub
    ) -> None:
        super().__init__(address, handler)
        self.github = github
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        for connection in list(self._open):
            self.shutdown_request(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """The journal is the log."""

    def handle(self) -> None:
        with suppress(ConnectionError, ValueError):  # the client hung up, or the server ends
            super().handle()

    def _serve(self) -> None:
        assert isinstance(self.server, _Server)
        parts = urlsplit(self.path)
        reply = self.server.github.answer(
            RecordedRequest(
                method=self.command,
                path=unquote(parts.path),
                query=dict(parse_qsl(parts.query)),
                headers={name.lower(): value for name, value in self.headers.items()}
                | {"x-client-port": str(self.client_address[1])},
                body=self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(),
            )
        )
        if reply is None:
            self.close_connection = True
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-GitHub-Request-Id": "0:0:0:0",
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "4999",
        }
        for name, value in {**headers, **reply.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def add_sample(github: FakeGitHub, sample: Sample) -> StoredRepository:
    """Serve a sample's pull requests, each by an account that is named as its author."""
    stored = github.add_repository(str(sample.repo), sample.repository.path)
    for pull in sample.repository.pulls.values():
        stored.add_pull(
            StoredPull(
                number=pull.number,
                title=pull.title,
                body=pull.body or None,
                author=Account(pull.number, pull.author),
                base_sha=pull.base_sha,
                head_sha=pull.branch_sha,
                merge_commit_sha=pull.head_sha if pull.merged_at else None,
                merged_at=pull.merged_at,
            )
        )
    return stored


def main() -> None:
    """Serve the sample until Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder, FakeGitHub() as github:
        sample = build_sample(Path(folder) / "sample")
        add_sample(github, sample)
        print(f"GITHUB_API_URL={github.api_url} GITHUB_TOKEN={github.token} serves {sample.repo}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
