"""The demo's run: over HTTP to the embedded server, into the queue, through the pump, and back."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgehand.client import JobFailed
from forgehand.domain.access import Role
from forgehand.entrypoints.cli.demo.sample import NUMBER, REPLIES, build
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import Shown, own_command, say, show_markdown, spinner
from forgehand.entrypoints.cli.serving import http_and_pump, own_token

if TYPE_CHECKING:
    import httpx

    from forgehand.container import Container
    from forgehand.settings import Settings

_LOOK_EVERY = 0.1


def demo_settings(settings: Settings) -> Settings:
    """Everything embedded and in `<home>/demo`; a real model where a key is set, else the scripted one."""
    folder = settings.home / "demo"
    changed: dict[str, Any] = {
        "database_url": None,
        "home": folder,
        "local_roots": (folder,),
        "redis_url": None,
    }
    if not (settings.model or settings.anthropic_api_key or settings.gemini_api_key):
        changed["model"] = f"scripted:{folder / 'demo-replies.json'}"
    return settings.model_copy(update=changed)


def prepare(settings: Settings) -> Path:
    """Make the sample and the script, unless they are there. Raise GitMissing."""
    sample = build(settings.home / "pantry")
    (settings.home / "demo-replies.json").write_text(json.dumps(REPLIES, indent=2), encoding="utf-8")
    return sample


async def demo(container: Container, sample: Path) -> ExitCode:
    """Print the document, where it is kept, and what to type next. Raise JobFailed."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with own_token(container, "demo", Role.OPERATOR) as token:
        serving = asyncio.create_task(http_and_pump(container, "127.0.0.1", 0, url.set_result))
        talking = asyncio.create_task(_talk(container, url, token, sample))
        try:
            await asyncio.wait({serving, talking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (talking, serving):
                task.cancel()
            await asyncio.gather(talking, serving, return_exceptions=True)
        if talking.cancelled():
            serving.result()
            raise asyncio.CancelledError  # a signal ended the server
        document_id, text = talking.result()
    show_markdown(text)
    _say_what_next(container, sample, document_id)
    return ExitCode.OK


async def _talk(container: Container, url: asyncio.Future[str], token: str, sample: Path) -> tuple[str, str]:
    """As any client would: submit, watch, read."""
    import httpx

    model = container.model()
    say(f"Sample repository: {sample} (pull request #{NUMBER})")
    if model is not None and model.name.startswith("scripted/"):
        say("Model: scripted, its answer was written for this sample. Set ANTHROPIC_API_KEY for a real one.")
    elif model is not None:
        say(f"Model: {model.name}")
    headers = {"Authorization": f"Bearer {token}"}
    # No proxy of the environment stands between this process and itself.
    async with httpx.AsyncClient(base_url=await url, headers=headers, timeout=30, trust_env=False) as client:
        say(f"Server: {client.base_url}, POST /api/jobs/generate-docs")
        request = {"repo": str(sample), "number": NUMBER}
        job = _answer(await client.post("/api/jobs/generate-docs", json=request))
        say(f"Queue: job {job['id']} is {job['state']}")
        with spinner("the worker runs it") as shown:
            job = await _ended(client, job["id"], shown)
        if job["state"] != "completed":
            problem = job.get("problem") or {"kind": "JobCancelled", "message": "the job was cancelled"}
            raise JobFailed(problem["kind"], problem["message"])
        news = "" if job["result"]["created"] else "; nothing had changed, so the model was not asked again"
        say(f"Worker: job {job['id']} is completed{news}")
        document_id = job["result"]["documentationId"]
        document = await client.get(f"/api/docs/{document_id}", headers={"Accept": "text/markdown"})
        document.raise_for_status()
        return document_id, document.text


async def _ended(client: httpx.AsyncClient, job_id: str, shown: Shown) -> dict[str, Any]:
    while True:
        job = _answer(await client.get(f"/api/jobs/{job_id}"))
        if job["state"] in {"completed", "failed", "cancelled"}:
            return job
        shown(job.get("note") or job["state"])
        await asyncio.sleep(_LOOK_EVERY)


def _answer(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


def _say_what_next(container: Container, sample: Path, document_id: str) -> None:
    say("")
    say(f"Stored as document {document_id} in {container.database().location}")
    say("Next, in your own clone, for a pull request that is merged:")
    say(f"  {own_command()} docs --repo . --pr NUMBER")
    say("Or look around in the sample:")
    say(f"  {own_command()} docs --repo {shlex.quote(str(sample))} --since 2024-01-01")
