"""The halves of a dual encoder of transformers as ONNX files in float32, written in little memory.

Torch's exporter writes the graph alone. The weights go one by one from the checkpoint's mapped file into a
file beside the graph: the exporter itself would hold three copies of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.huggingface import TransformersEncoder

if TYPE_CHECKING:
    import torch
    from onnx import GraphProto

__all__ = ["export_half", "halves", "save_table", "weights_file"]

_OPSET = 17


def save_table(name: str, path: Path) -> None:
    """Write what the text's half is given of each token, (V, E) float16, and leave nothing loaded.

    The table is two thirds of a small multilingual model, and a text needs a few of its rows.
    """
    embeddings = TransformersEncoder(name, device="cpu").model.text_model.embeddings
    np.save(path, embeddings.token_embedding.weight.detach().half().numpy())


def halves(original: TransformersEncoder) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The half for pictures, and that for texts, which is given its rows of the table.

    Afterwards the original embeds no text itself.
    """
    import torch

    class Images(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = original.model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return original.image_rows(pixel_values)

    class Given(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = torch.empty(0)

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.rows

    class Texts(torch.nn.Module):
        def __init__(self, given: Given) -> None:
            super().__init__()
            self.model, self.given = original.model, given

        def forward(self, input_ids: torch.Tensor, token_rows: torch.Tensor) -> torch.Tensor:
            self.given.rows = token_rows
            return original.text_rows(input_ids)

    given = Given()
    original.model.text_model.embeddings.token_embedding = given
    return Images().eval(), Texts(given).eval()


def weights_file(model: Path) -> Path:
    """Where the weights of an exported half lie."""
    return model.with_suffix(".weights")


def export_half(module: torch.nn.Module, inputs: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write one half, its weights into `weights_file(path)`; `inputs` by name, the first axis may vary."""
    import onnx
    import torch

    names = list(inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own future and constants of the trace
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(values[:2]) for values in inputs.values()),
            str(path),
            dynamo=False,
            export_params=False,
            do_constant_folding=False,
            input_names=names,
            output_names=["rows"],
            dynamic_axes={name: {0: "n"} for name in [*names, "rows"]},
            opset_version=_OPSET,
        )
    model = onnx.load(path)
    weights = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    with weights_file(path).open("wb") as file:
        for name, values in _taken(model.graph, weights):
            model.graph.initializer.append(_outside(name, values, weights_file(path).name, file.tell()))
            file.write(np.ascontiguousarray(values).data)
    given = [each for each in model.graph.input if each.name in inputs]
    del model.graph.input[:]
    model.graph.input.extend(given)
    onnx.save(model, path)


def _taken(graph: GraphProto, weights: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The weights that a graph reads, by the names it reads them under.

    A weight that it turns first, as every linear layer does, is turned here: only so is it quantized later.
    Weights of equal values are one to the exporter; here each stands for itself again.
    """
    for node in [node for node in graph.node if node.input and node.input[0] in weights]:
        if node.op_type == "Transpose":
            (order,) = (list(each.ints) for each in node.attribute if each.name == "perm")
            yield node.output[0], weights[node.input[0]].transpose(order)
            graph.node.remove(node)
        elif node.op_type == "Identity" and node.output[0] in weights:
            graph.node.remove(node)
    for name in sorted({each for node in graph.node for each in node.input} & weights.keys()):
        yield name, weights[name]


def _outside(name: str, values: NDArray[Any], file: str, offset: int) -> Any:
    """The entry of a weight that lies in a file beside the graph."""
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    entry = TensorProto(name=name, dims=values.shape, data_type=kind, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", file), ("offset", offset), ("length", values.nbytes)):
        entry.external_data.add(key=key, value=str(value))
    return entry
