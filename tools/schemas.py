"""JSON schemas of the tools, made from their signatures and docstrings."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from keyframe_llm.tools.limits import Limits, ToolError

__all__ = ["Schema", "schema_of"]

_SHOWN_LETTERS = 80
_FENCES = re.compile(r"^```\w*\s*|\s*```$")


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model is given of a tool, and the check of the arguments it calls it with."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments, an object."""
    returns: dict[str, Any]
    """JSON schema of the result, an object."""
    arguments: type[BaseModel]

    def check(self, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
        """The checked arguments by name; an argument that is null counts as left out.

        Raises `ToolError`, which names each mistake.
        """
        args = _parsed(arguments) if isinstance(arguments, str) else arguments
        if not isinstance(args, Mapping):
            raise ToolError(f"{self.name}: the arguments are a {type(args).__name__}; give an object")
        try:
            checked = self.arguments.model_validate({k: v for k, v in args.items() if v is not None})
        except ValidationError as error:
            mistakes = "; ".join(_mistake(entry) for entry in error.errors(include_url=False))
            names = ", ".join(self.parameters["properties"])
            raise ToolError(f"{self.name}: {mistakes}. Its arguments are {names}") from error
        return {name: getattr(checked, name) for name in type(checked).model_fields}


def schema_of(tool: Callable[..., Any], limits: Limits, note: str = "") -> Schema:
    """The schema of a tool: types, ranges and descriptions from its signature and docstring.

    `note` is a last paragraph of its description.
    """
    hints = get_type_hints(tool, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(tool).parameters.items()
    }
    if "max_frames" in fields:
        kind, default = fields["max_frames"]
        fields["max_frames"] = (Annotated[kind, Field(le=limits.max_frames)], min(default, limits.max_frames))
    if "seconds" in fields:
        kind, default = fields["seconds"]
        fields["seconds"] = (Annotated[kind, Field(max_length=limits.max_frames)], default)
    arguments = create_model(
        tool.__name__, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields
    )
    parameters = _plain(arguments.model_json_schema())
    returns = _plain(TypeAdapter(hints["return"]).json_schema(mode="serialization"))
    paragraphs = [*(inspect.getdoc(tool) or "").split("\n\n"), *([note] if note else [])]
    description = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return Schema(tool.__name__, description, parameters, returns, arguments)


def _parsed(text: str) -> Any:
    """What JSON holds, also between the fences of a code block, or in a text of JSON."""
    inner = _FENCES.sub("", text.strip())
    try:
        parsed = json.loads(inner or "{}")
        return json.loads(parsed) if isinstance(parsed, str) else parsed
    except ValueError as error:
        raise ToolError(f"the arguments are not JSON ({error}); give an object") from error


def _mistake(entry: Any) -> str:
    """One mistake in words, with the value that is wrong."""
    where = ".".join(str(part) for part in entry["loc"])
    what = entry["msg"].removeprefix("Value error, ")
    what = what[:1].lower() + what[1:]
    if entry["type"] in ("missing", "extra_forbidden"):
        return f"{where}: {'is missing' if entry['type'] == 'missing' else 'there is no such argument'}"
    value = repr(entry["input"])
    shown = value if len(value) <= _SHOWN_LETTERS else f"{value[:_SHOWN_LETTERS]}…"
    return f"{where} is {shown}: {what}"


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without titles, references and nulls, which some models and clients cannot read."""
    definitions = schema.pop("$defs", {})

    def plain(node: Any, *, named: bool = False) -> Any:
        """`named`: the keys are names of properties, not words of the schema."""
        if isinstance(node, list):
            return [plain(part) for part in node]
        if not isinstance(node, dict):
            return node
        if named:
            return {key: plain(value) for key, value in node.items()}
        if "$ref" in node:
            return plain(definitions[node["$ref"].rsplit("/", 1)[-1]])
        return {key: plain(value, named=key == "properties") for key, value in node.items() if key != "title"}

    flat: dict[str, Any] = plain(schema)
    for field in flat["properties"].values() if "additionalProperties" in flat else ():
        kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
        if len(kinds) == 1:
            field.update(kinds[0])
        if field.get("default", ...) is None:
            del field["default"]
    return flat
