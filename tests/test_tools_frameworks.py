"""Agents of the real frameworks, on scripted models, call the tools on a bundled video and use the result."""

from __future__ import annotations

import base64
import io
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.tools import Toolbox
from keyframe_llm.tools.pictures import MemoryPictures

CLIPS = demo_video().parent
LOOK = {"video": "three_scenes.mp4", "start_seconds": 6.5, "end_seconds": 10.5, "max_frames": 2}


@pytest.fixture(scope="module")
def toolbox() -> Iterator[Toolbox]:
    with Toolbox(roots=[CLIPS]) as made:
        yield made


def first_second(text: str) -> float:
    """What a model reads off a result: the time of the first key frame."""
    found = re.search(r"""["']seconds["']: ([\d.]+)""", text)
    assert found is not None, text
    return float(found[1])


def check(answer: str) -> None:
    assert 6.5 <= float(answer) <= 10.5


def imported(name: str, reason: str) -> Any:
    """Import a library whose own imports warn, or skip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=reason)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:smolagents")
def test_smolagents(toolbox: Toolbox) -> None:
    smolagents = imported("smolagents", "smolagents is not installed")
    from keyframe_llm.tools.smolagents import smolagents_tools

    offered: list[Any] = []

    class Scripted(smolagents.Model):
        def generate(self, messages: Any, tools_to_call_from: Any = None, **_: Any) -> Any:
            offered.append(tools_to_call_from)
            last = messages[-1]
            text = "".join(part.get("text", "") for part in last.content)
            call = ("select_keyframes", LOOK)
            if "seconds" in text and len(offered) > 1:
                call = ("final_answer", {"answer": str(first_second(text))})
            function = smolagents.models.ChatMessageToolCallFunction(name=call[0], arguments=call[1])
            made = smolagents.models.ChatMessageToolCall(
                id=f"c{len(offered)}", type="function", function=function
            )
            return smolagents.ChatMessage(role="assistant", content="", tool_calls=[made])

    agent = smolagents.ToolCallingAgent(
        tools=smolagents_tools(toolbox), model=Scripted(), verbosity_level=0, max_steps=3
    )
    check(agent.run("When is it?"))
    assert {tool.name for tool in offered[0]} >= {"describe_video", "select_keyframes", "ask_video"}
    assert len(offered) == 2


def test_smolagents_show_the_pictures_of_a_step(toolbox: Toolbox) -> None:
    smolagents = imported("smolagents", "smolagents is not installed")
    from keyframe_llm.tools.smolagents import smolagents_pictures, smolagents_tools

    images: list[int] = []

    class Scripted(smolagents.Model):
        def generate(self, messages: Any, **_: Any) -> Any:
            parts = [part for message in messages for part in message.content]
            images.append(sum(part["type"] == "image" for part in parts))
            code = f"select_keyframes(**{LOOK})" if len(images) == 1 else "final_answer(1)"
            return smolagents.ChatMessage(
                role="assistant", content=f"Thought: look.\n<code>\n{code}\n</code>"
            )

    tools = smolagents_tools(toolbox)
    agent = smolagents.CodeAgent(
        tools=tools,
        model=Scripted(),
        verbosity_level=0,
        max_steps=3,
        step_callbacks=[smolagents_pictures(tools)],
    )
    agent.run("When is it?")
    assert images[0] == 0 and 1 <= images[1] <= 2


def test_smolagents_code_agents_get_objects_and_open_pictures(toolbox: Toolbox) -> None:
    smolagents = imported("smolagents", "smolagents is not installed")
    from keyframe_llm.tools.smolagents import smolagents_tools

    class Scripted(smolagents.Model):
        def generate(self, messages: Any, **_: Any) -> Any:
            code = (
                'result = select_keyframes(video="three_scenes.mp4", start_seconds=6.5, end_seconds=10.5)\n'
                'final_answer(result["keyframes"][0])'
            )
            return smolagents.ChatMessage(
                role="assistant", content=f"Thought: look.\n<code>\n{code}\n</code>"
            )

    agent = smolagents.CodeAgent(
        tools=smolagents_tools(toolbox), model=Scripted(), verbosity_level=0, max_steps=2
    )
    frame = agent.run("When is it?")
    check(str(frame["seconds"]))
    assert toolbox.pictures.read(frame["image"]).startswith(b"\xff\xd8")


def test_langchain_and_langgraph(toolbox: Toolbox) -> None:
    """Two calls in one turn, one of them wrong; the model sees the pictures after both results."""
    imported("langgraph", "langgraph is not installed")
    agents = imported("langchain.agents", "langchain is not installed")
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, convert_to_openai_messages
    from langchain_core.outputs import ChatGeneration, ChatResult

    from keyframe_llm.tools.langchain import langchain_pictures, langchain_tools

    bound: list[str] = []
    shown: list[Any] = []

    class Scripted(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "scripted"

        def bind_tools(self, tools: Any, **_: Any) -> Any:
            bound.extend(tool.name for tool in tools)
            return self

        def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
            results = [message for message in messages if message.type == "tool"]
            if results:
                shown.extend(convert_to_openai_messages(messages))
                message = AIMessage(content=str(first_second(results[1].content)))
            else:
                arguments = [{**LOOK, "video": "nope.mp4"}, LOOK]
                calls = [
                    {"name": "select_keyframes", "args": args, "id": f"c{i}"}
                    for i, args in enumerate(arguments)
                ]
                message = AIMessage(content="", tool_calls=calls)
            return ChatResult(generations=[ChatGeneration(message=message)])

    agent = agents.create_agent(
        Scripted(), langchain_tools(toolbox), middleware=[langchain_pictures(toolbox)]
    )
    messages = agent.invoke({"messages": [("user", "When is it?")]})["messages"]
    check(messages[-1].content)
    assert [message.type for message in messages] == ["human", "ai", "tool", "tool", "ai"]
    missing, found = messages[2:4]
    assert missing.status == "error" and "three_scenes.mp4" in missing.content
    assert found.artifact == json.loads(found.content)
    assert {"describe_video", "select_keyframes"} <= set(bound)
    # OpenAI refuses pictures in the message of a tool, and whatever comes between the results of one turn.
    assert [message["role"] for message in shown] == ["user", "assistant", "tool", "tool", "user"]
    assert all(isinstance(message["content"], str) for message in shown[2:4])
    pictures = [part for part in shown[4]["content"] if part["type"] == "image_url"]
    assert len(pictures) == len(found.artifact["keyframes"]) > 0
    jpeg = base64.b64decode(pictures[0]["image_url"]["url"].partition(",")[2])
    assert Image.open(io.BytesIO(jpeg)).size == (480, 360)


def test_langchain_says_where_a_picture_is_not_kept_any_more() -> None:
    messages = imported("langchain_core.messages", "langchain is not installed")
    from keyframe_llm.tools.langchain import with_pictures

    with Toolbox(roots=[CLIPS], pictures=MemoryPictures(limit=1)) as toolbox:
        result = toolbox.select_keyframes("three_scenes.mp4", max_frames=2)
        message = messages.ToolMessage("{}", artifact=result, tool_call_id="c", name="select_keyframes")
        question = messages.HumanMessage("And now?")
        tool, pictures, again = with_pictures([message, question], toolbox)
    assert (tool, again) == (message, question)
    assert "call the tool again" in pictures.content[1]["text"]


@pytest.mark.filterwarnings("ignore")  # qwen_agent and what it imports warn of their own pasts
def test_qwen_agent(toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported("soundfile", "soundfile is not installed (qwen-agent needs it)")
    monkeypatch.setenv("QWEN_AGENT_DEFAULT_WORKSPACE", str(tmp_path))  # read when it is imported
    imported("qwen_agent.agents", "qwen-agent is not installed")
    from qwen_agent.agents import FnCallAgent
    from qwen_agent.llm.base import BaseChatModel
    from qwen_agent.llm.schema import FunctionCall, Message

    from keyframe_llm.tools.qwen_agent import qwen_agent_tools

    offered: list[Any] = []
    shown: list[Any] = []

    class Scripted(BaseChatModel):
        support_multimodal_input = support_multimodal_output = True

        def chat(self, messages: Any, functions: Any = None, **_: Any) -> Iterator[list[Message]]:
            offered.append([function["name"] for function in functions])
            last = messages[-1]
            if last.role == "function":
                shown.extend(last.content)
                text = next(item.text for item in last.content if item.text)
                yield [Message("assistant", str(first_second(text)))]
            else:
                call = FunctionCall("select_keyframes", json.dumps(LOOK))
                yield [Message("assistant", "", function_call=call, extra={"function_id": "1"})]

        def _chat_with_functions(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

        _chat_stream = _chat_no_stream = _chat_with_functions

    agent = FnCallAgent(llm=Scripted({"model": "scripted"}), function_list=qwen_agent_tools(toolbox))
    (*_, answer) = agent.run([Message("user", "When is it?")])
    check(answer[-1]["content"])
    assert {"describe_video", "select_keyframes"} <= set(offered[0])
    assert next(item.image[:23] for item in shown if item.image) == "data:image/jpeg;base64,"
    (tool,) = (tool for tool in qwen_agent_tools(toolbox) if tool.name == "select_keyframes")
    assert "nope.mp4" in tool.call({"video": "nope.mp4"})
