"""Small real models, built here: each takes red or dark pixels for the subject, in the forms in which models come."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cutoutd.models import catalog
from tests import preloaded

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 64
_REDNESS = np.array([30, -30, 0], np.float32)
_BIAS = -2.0
_DARKNESS = np.array([-30, -30, -30], np.float32)
_DARKNESS_BIAS = 54.0  # the three numbers of a pixel that is half subject add up to 1.8

_FEATURES: Final = (("1855", 12, 2), ("1686", 16, 2), ("1544", 24, 4))
"""Name of each tensor, number of its channels, and how many pixels of a side one of its places has."""


def save(
    file: Path,
    *,
    half: bool = False,
    dynamic: bool = False,
    logits: bool = False,
    outputs: int = 1,
    poisoned: float | None = None,
    dark: bool = False,
) -> Path:
    """Write a model.

    Args:
        file: path.
        half: whether numbers have 16 bits.
        dynamic: whether its input may be of any size.
        logits: whether it omits the sigmoid.
        outputs: number of outputs; the last one is the matte, the others its opposite.
        poisoned: number that is added to everything.
        dark: whether it takes dark or strongly coloured pixels for the subject, and not red ones.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    number = np.float16 if half else np.float32
    sides: tuple[str | int, ...] = ("h", "w") if dynamic else (SIDE, SIDE)
    count: str | int = "n" if dynamic else 1
    shape: list[str | int | None] = [count, 3, *sides]
    out_shape: list[str | int | None] = [count, 1, *sides]
    taste, bias_number = (_DARKNESS, _DARKNESS_BIAS) if dark else (_REDNESS, _BIAS)
    weights = numpy_helper.from_array(taste.reshape(1, 3, 1, 1).astype(number), "weights")
    bias = numpy_helper.from_array(np.array([bias_number + (poisoned or 0.0)], number), "bias")
    nodes = [helper.make_node("Conv", ["picture", "weights", "bias"], ["raw"])]
    last = "raw"
    if not logits:
        nodes.append(helper.make_node("Sigmoid", ["raw"], ["share"]))
        last = "share"
    names = [f"matte{number_}" for number_ in range(outputs)]
    nodes += [helper.make_node("Neg", [last], [name]) for name in names[:-1]]
    nodes.append(helper.make_node("Identity", [last], [names[-1]]))
    graph = helper.make_graph(
        nodes,
        "redness",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [helper.make_tensor_value_info(name, kind, out_shape) for name in names],
        [weights, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(file))
    return file


def save_with_inputs(file: Path) -> Path:
    """Write a model with further inputs: of variable size, of fixed size, and an integer; each is added to the matte."""
    save(file)
    model = onnx.load(str(file))
    sizes: list[tuple[str, int, list[int | str]]] = [
        ("state", TensorProto.FLOAT, [1, "channels", "rows", "columns"]),
        ("ratio", TensorProto.FLOAT, [1]),
        ("frame", TensorProto.INT64, [1]),
    ]
    model.graph.input.extend(helper.make_tensor_value_info(*one) for one in sizes)
    model.graph.node[-1].output[0] = "share_of_one"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["frame"], ["frame_number"], to=TensorProto.FLOAT),
            helper.make_node("Sum", ["share_of_one", "state", "ratio", "frame_number"], ["matte0"]),
        ]
    )
    file.write_bytes(model.SerializeToString())
    return file


def save_reaching_out(file: Path, elsewhere: str) -> Path:
    """Write a model that names another file for its weights."""
    save(file)
    model = onnx.load(str(file))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", elsewhere), ("offset", "0"), ("length", "12")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    file.write_bytes(model.SerializeToString())
    return file


def save_ravenous(file: Path) -> Path:
    """Write a model that needs 400 GB."""
    size = numpy_helper.from_array(np.array([100_000_000_000], np.int64), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["sum"]),
        helper.make_node("Add", ["picture", "sum"], ["matte"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ravenous",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("matte", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [size],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(file))
    return file


def save_with_features(file: Path) -> Path:
    """Write a model as by `save`, dark and of any size, with tensors by the names and of the form of the packaged model's features."""
    save(file, dark=True, dynamic=True)
    model = onnx.load(str(file))
    drawn = np.random.default_rng(1)
    for name, channels, reduced in _FEATURES:
        weights = drawn.normal(0, 1, (channels, 3, 3, 3)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, f"weights-{name}"))
        side = [reduced, reduced]
        model.graph.node.extend(
            [
                helper.make_node(
                    "AveragePool", ["picture"], [f"small-{name}"], kernel_shape=side, strides=side
                ),
                helper.make_node(
                    "Conv", [f"small-{name}", f"weights-{name}"], [f"edges-{name}"], pads=[1] * 4
                ),
                helper.make_node("Relu", [f"edges-{name}"], [name]),
            ]
        )
    file.write_bytes(model.SerializeToString())
    return file


def data_directory(data: Path) -> Path:
    """Make a user's data directory whose model has 200 bytes and finds dark and strongly coloured things.

    Processes that are forked from a template take the packaged model from it as well; `tests.preloaded` says how.
    """
    directory = data / "cutoutd" / "models"
    directory.mkdir(parents=True)
    save(directory / "darkness.onnx", dark=True)
    _enter(directory, "darkness", SIDE)
    weights = data / preloaded.WEIGHTS
    shutil.copytree(catalog.home(), weights, ignore=shutil.ignore_patterns("*.onnx", "*.py", "__pycache__"))
    save_with_features(weights / f"{catalog.PACKAGED}.onnx")
    _enter(weights, catalog.PACKAGED, 288, check_size=128)
    return data


def _enter(directory: Path, name: str, side: int, *, check_size: int = 0) -> None:
    """Write a catalog with one model of its directory."""
    content = (directory / f"{name}.onnx").read_bytes()
    (directory / catalog.CATALOG).write_text(
        f"""[[model]]
name = "{name}"
file = "{name}.onnx"
sha256 = "{hashlib.sha256(content).hexdigest()}"
bytes = {len(content)}
input_size = {side}
check_size = {check_size}
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
scale = "255"
output = 0
min_max = false
licence = "none"
source = "the tests"
""",
        encoding="utf-8",
    )
