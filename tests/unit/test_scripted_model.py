"""The scripted model, and how its script is read."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from forgehand.application.ports.language_model import (
    Message,
    ModelCall,
    ModelOutputInvalid,
    ModelRateLimited,
    ModelRequestRejected,
    ToolResult,
)
from forgehand.infrastructure.llm.scripted import InvalidScript, ScriptedModel
from tests.contracts.language_model import (
    INPUT_TOKENS,
    KEY,
    OUTPUT_TOKENS,
    Fails,
    LanguageModelContract,
    Says,
    Scene,
    Stage,
    Wishes,
)

USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}


class TestScriptedModel(LanguageModelContract):
    @pytest.fixture
    def stage(self) -> Stage:
        def play(*scenes: Scene) -> ScriptedModel:
            return ScriptedModel([_entry(scene) for scene in scenes])

        return play


def _entry(scene: Scene) -> dict[str, Any]:
    match scene:
        case Says(text):
            return {"text": text, "usage": USAGE}
        case Wishes(tool, arguments):
            return {"tool_calls": [{"name": tool, "arguments": arguments}], "usage": USAGE}
        case Fails("hangs"):
            return {"text": "too late", "delay": 3600}
        case Fails("rate_limited"):
            return {"error": "rate_limited", "retry_after": 7}
        case Fails(trouble):
            return {"error": trouble, "message": "said the script", "usage": USAGE}


def ask(text: str, instructions: str = "Be brief.") -> ModelCall:
    return ModelCall(instructions, (Message("user", text),), max_output_tokens=100)


def written(folder: Path, content: str, name: str = "replies.json") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


async def test_replies_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    model = ScriptedModel.from_file(written(tmp_path, '[{"text": "one"}, {"text": "two"}]'))
    assert model.name == "scripted/replies"
    assert [(await model.complete(ask("?"))).text for _ in range(2)] == ["one", "two"]


async def test_a_line_file_holds_one_reply_on_each_line(tmp_path: Path) -> None:
    model = ScriptedModel.from_file(written(tmp_path, '{"text": "one"}\n\n{"text": "two"}\n', "r.jsonl"))
    assert [(await model.complete(ask("?"))).text for _ in range(2)] == ["one", "two"]


async def test_a_reply_waits_for_the_prompt_it_is_for() -> None:
    model = ScriptedModel([{"when": "tests", "text": "about tests"}, {"text": "anything"}])
    assert (await model.complete(ask("docs"))).text == "anything"
    assert (await model.complete(ask("x", "write tests"))).text == "about tests"


async def test_the_result_of_a_tool_is_part_of_the_prompt() -> None:
    model = ScriptedModel([{"when": "42 lines", "text": "long"}, {"text": "unknown"}])
    result = Message("user", tool_results=(ToolResult("1", "it has 42 lines"),))
    assert (await model.complete(ModelCall("", (result,), 100))).text == "long"


async def test_a_repeated_reply_is_never_used_up() -> None:
    model = ScriptedModel([{"text": "again", "repeat": True}])
    assert [(await model.complete(ask("?"))).text for _ in range(3)] == ["again"] * 3


async def test_an_exhausted_script_says_so() -> None:
    model = ScriptedModel([{"text": "only"}], name="demo")
    await model.complete(ask("?"))
    with pytest.raises(ModelRequestRejected, match="scripted/demo has no reply left for call 2"):
        await model.complete(ask("?"))


async def test_an_object_is_given_as_written_and_checked() -> None:
    schema = {"type": "object", "required": ["a"]}
    call = ModelCall("", (Message("user", "?"),), 100, schema=schema)
    model = ScriptedModel([{"output": {"a": [1]}}, {"output": {"b": 1}}])
    assert (await model.complete(call)).output == {"a": [1]}
    with pytest.raises(ModelOutputInvalid, match="it lacks a"):
        await model.complete(call)


async def test_usage_that_is_not_stated_is_estimated_and_free() -> None:
    usage = (await ScriptedModel([{"text": "hello there"}]).complete(ask("hi"))).usage
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.cost == 0


async def test_an_error_can_come_before_an_answer() -> None:
    model = ScriptedModel([{"error": "rate_limited", "retry_after": 0.5}, {"text": "now"}])
    with pytest.raises(ModelRateLimited) as caught:
        await model.complete(ask("?"))
    assert caught.value.retry_after == timedelta(seconds=0.5)
    assert (await model.complete(ask("?"))).text == "now"


def test_the_input_limit_can_be_set() -> None:
    assert ScriptedModel([], input_limit=99).input_limit == 99


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{not json", "cannot be read"),
        ('{"text": "x"}', "is not a list of replies"),
        ('[{"text": "x"}, {"txt": "y"}]', "reply 2: txt: Extra inputs are not permitted"),
        ('[{"error": "tired"}]', "reply 1: error"),
        ("[1]", "reply 1: entry"),
        (json.dumps([{"usage": {"cost": -1}}]), "reply 1: usage.cost"),
    ],
)
def test_a_bad_script_is_refused_in_one_line(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(InvalidScript) as caught:
        ScriptedModel.from_file(written(tmp_path, content))
    assert complaint in str(caught.value)
    assert "replies.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_missing_script_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidScript, match=r"nowhere\.json cannot be read: No such file or directory"):
        ScriptedModel.from_file(tmp_path / "nowhere.json")


def test_a_script_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes('[{"text": "é"}]'.encode("latin-1"))
    with pytest.raises(InvalidScript, match=r"latin\.json cannot be read"):
        ScriptedModel.from_file(path)
