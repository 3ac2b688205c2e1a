"""Opening a segmenter: our file, an ONNX file, a function; and what each says when it is not one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from transfigure.errors import Missing, UserError
from transfigure.metrics import segmenters
from transfigure.metrics.palettes import load_palette
from transfigure.metrics.segmentation import FCNScore
from transfigure.metrics.segmenters import IMAGENET, Segmenter, open_segmenter
from transfigure.networks.segmenter import SegmentationNetwork, save_segmenter

PALETTE = {"classes": {"dark": [0, 0, 0], "light": [255, 255, 255]}}


def own(path: Path, size: list[int] | None = [16, 24], **facts: Any) -> SegmentationNetwork:  # noqa: B006
    torch.manual_seed(0)
    network = SegmentationNetwork(2, width=2, depth=2)
    save_segmenter(path, network, {"palette": PALETTE, "size": size, **facts})
    return network.eval()


def test_our_own_file(tmp_path: Path) -> None:
    file = tmp_path / "network.safetensors"
    network = own(file)
    found = open_segmenter(file)
    assert (found.name, found.classes, found.size) == ("network.safetensors", 2, (16, 24))
    assert found.palette is not None and found.palette.classes == ("dark", "light")
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "24 x 16" in found.preprocessing
    images = torch.rand(3, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        assert torch.equal(found(images), network(images).argmax(1))
    large = torch.nn.functional.interpolate(images, size=(32, 48), mode="nearest")
    assert found(large).shape == (3, 16, 24), "it sees photos at the size it was trained on"
    assert torch.equal(found(large), found(images)), "halving by the bilinear filter undoes a doubling here up to its border"


def test_our_own_file_for_any_size_and_through_the_metric(tmp_path: Path) -> None:
    own(tmp_path / "any.safetensors", None)
    found = open_segmenter(str(tmp_path / "any.safetensors"))
    assert found.size is None and found(torch.zeros(1, 3, 9, 13)).shape == (1, 9, 13)
    facts = FCNScore(segmenter=str(tmp_path / "any.safetensors")).facts()
    assert facts["network"] == "any.safetensors" and facts["weights"] == found.sha256 and facts["palette"] == "palette, 2 classes"
    with pytest.raises(UserError, match="knows 2 classes"):
        FCNScore(segmenter=str(tmp_path / "any.safetensors"), palette="facades")


def test_files_that_are_no_segmenter(tmp_path: Path) -> None:
    file = tmp_path / "network.safetensors"
    own(file, [0, 4])
    with pytest.raises(UserError, match="train it anew"):
        open_segmenter(file)
    own(file, palette={"classes": {"a": [0, 0, 0], "b": [1, 1, 1], "c": [2, 2, 2]}})
    with pytest.raises(UserError, match="3 colours for 2 classes"):
        open_segmenter(file)
    file.write_bytes(b"not at all")
    with pytest.raises(UserError, match="damaged"):
        open_segmenter(file)
    (tmp_path / "weights.pt").write_bytes(b"PK\3\4 and so on")
    for what in (tmp_path / "weights.pt", tmp_path / "absent.safetensors", "vgg", tmp_path):
        with pytest.raises(UserError, match=r"\.onnx file, or module:function"):
            open_segmenter(what)
    with pytest.raises(UserError, match="function of images"):
        open_segmenter(3)  # type: ignore[arg-type]


def test_functions(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def light(images):\n    return (images.mean(1) > 0).long()\n\n"
        "def logits(images):\n    return images[:, :2].numpy()\n\n"
        "logits.classes = 2\nlogits.size = 8\n\n"
        "def broken(images):\n    raise KeyError('conv1')\n\nnumber = 3\n"
    )
    images = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 8, 8)
    light = open_segmenter(f"{tmp_path}/mine.py:light")
    assert light(images)[:, 0, 0].tolist() == [0, 1] and light(images).dtype == torch.int64
    assert (light.classes, light.size, light.sha256) == (None, None, "")
    logits = open_segmenter(f"{tmp_path}/mine.py:logits")
    assert (logits.classes, logits.size) == (2, (8, 8)) and logits(torch.rand(2, 3, 20, 30)).shape == (2, 8, 8)
    with pytest.raises(UserError, match=r"mine.py:broken failed on an image of 8 x 8 pixels: KeyError: 'conv1'"):
        open_segmenter(f"{tmp_path}/mine.py:broken")(images)
    for bad, reason in (("mine.py:number", "is a int"), ("mine.py:dark", "dark"), ("yours.py:light", "no file")):
        with pytest.raises(UserError, match=reason):
            open_segmenter(f"{tmp_path}/{bad}")
    with pytest.raises(UserError, match="No module named 'no_such_package'"):
        open_segmenter("no_such_package:segmenter")
    (tmp_path / "bad.py").write_text("import no_such_package\n")
    with pytest.raises(UserError, match="no_such_package"):
        open_segmenter(f"{tmp_path}/bad.py:light")
    assert open_segmenter("torch.nn.functional:softmax").name == "torch.nn.functional:softmax"
    assert isinstance(open_segmenter(light), Segmenter) and open_segmenter(light) is light


def test_a_function_with_a_palette() -> None:
    class Mine:
        palette = load_palette("facades")

        def __call__(self, images: Tensor) -> Tensor:
            return torch.zeros(len(images), 12, 4, 4)

    found = open_segmenter(Mine())
    assert found.classes == 12 and found.palette is Mine.palette and found.name == "Mine"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (torch.zeros(2, 4), "shape"),
        (torch.zeros(3, 4, 4), "shape"),
        (torch.zeros(2, 5, 4, 4), "says it has 2 classes, and returns 5"),
        (torch.full((2, 4, 4), 0.5), "whole numbers"),
        (torch.full((2, 4, 4), -1), "whole numbers"),
        (torch.full((2, 2, 4, 4), torch.nan), "not a number"),
        (torch.full((2, 4, 4), torch.nan), "not a number"),
        (torch.zeros(2, 2, 0, 4), "shape"),
        (torch.zeros(2, 0, 4), "shape"),
        (torch.zeros(2, 2, 4, 4, dtype=torch.complex64), "shape"),
        (torch.tensor(1), "shape"),
        ("nothing", "failed"),
    ],
)
def test_outputs_that_are_none(output: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Segmenter(lambda images: output, "network", classes=2)(torch.zeros(2, 3, 4, 4))


def test_large_photos_are_averaged_on_their_way_down() -> None:
    """Two lines of eight are white, the two nearest to the middle of a line that is an eighth of the size: it is dark grey, not white."""
    seen: list[Tensor] = []
    photo = torch.full((1, 3, 64, 64), -1.0)
    photo[:, :, 3::8] = photo[:, :, 4::8] = 1
    Segmenter(lambda images: seen.append(images) or images[:, :2], "network", size=(8, 8))(photo)  # type: ignore[func-returns-value]
    assert seen[0].shape == (1, 3, 8, 8)
    assert -0.9 < seen[0].min() <= seen[0].max() < 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bool, torch.uint8, torch.uint16, torch.int32], ids=str)
def test_logits_of_any_type(kind: torch.dtype) -> None:
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 2] = 1
    assert (Segmenter(lambda images: logits.to(kind), "network")(torch.zeros(2, 3, 4, 4)) == 2).all()


def test_one_channel_of_indices_will_do() -> None:
    assert Segmenter(lambda images: images[:, :1].long(), "network")(torch.ones(2, 3, 4, 4)).shape == (2, 4, 4)


# ---- ONNX --------------------------------------------------------------------------------------------------------------


def onnx_file(
    path: Path, shape: tuple[Any, ...] = ("N", 3, "H", "W"), indices: bool = False, classes: int = 3, **said: Any
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A 1x1 convolution from three channels to ``classes`` logits, as an ONNX file; its weights."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(classes, 3, 1, 1)).astype(np.float32), random.normal(size=classes).astype(np.float32)
    float_, long = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    nodes = [onnx.helper.make_node("Conv", ["image", "w", "b"], ["logits"])]
    output = onnx.helper.make_tensor_value_info("logits", float_, [shape[0], classes, *shape[2:]])
    if indices:
        nodes.append(onnx.helper.make_node("ArgMax", ["logits"], ["classes"], axis=1, keepdims=0))
        output = onnx.helper.make_tensor_value_info("classes", long, [shape[0], *shape[2:]])
    image = onnx.helper.make_tensor_value_info("image", float_, list(shape))
    constants = [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")]
    graph = onnx.helper.make_graph(nodes, "network", [image], [output], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()})
    path.write_bytes(model.SerializeToString())
    return weight, bias


def by_hand(weights: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], fed: Tensor) -> Tensor:
    weight, bias = (torch.from_numpy(one) for one in weights)
    return torch.nn.functional.conv2d(fed, weight, bias).argmax(1)


@pytest.mark.parametrize("indices", [False, True])
def test_onnx_fed_by_default(tmp_path: Path, indices: bool) -> None:
    weights = onnx_file(tmp_path / "network.onnx", indices=indices)
    found = open_segmenter(tmp_path / "network.onnx")
    assert (found.classes, found.size, found.palette) == (None if indices else 3, None, None)
    assert found.preprocessing == "RGB values from 0 to 1, less ImageNet's mean 0.485/0.456/0.406, over ImageNet's std 0.229/0.224/0.225"
    images = torch.rand(2, 3, 10, 12) * 2 - 1
    mean, std = (torch.tensor(numbers).reshape(3, 1, 1) for numbers in IMAGENET)
    assert torch.equal(found(images), by_hand(weights, ((images + 1) / 2 - mean) / std))
    assert found.sha256 == hashlib.sha256((tmp_path / "network.onnx").read_bytes()).hexdigest()


def test_onnx_fed_as_its_metadata_says(tmp_path: Path) -> None:
    """The way of the Caffe FCN-8s of the paper: 0 to 255, BGR, less its mean; and one image at a time of one size."""
    mean = [72.78044, 83.21195, 73.45286]
    palette = {"classes": {"a": [0, 0, 0], "b": [9, 9, 9], "c": [99, 99, 99]}}
    weights = onnx_file(tmp_path / "fcn.onnx", (1, 3, 8, 16), range=[0, 255], mean=mean, order="BGR", palette=palette)
    found = open_segmenter(tmp_path / "fcn.onnx")
    assert found.size == (8, 16) and found.palette is not None and found.palette.classes == ("a", "b", "c")
    assert found.preprocessing == "BGR values from 0 to 255, less mean 72.7804/83.212/73.4529, bilinear to 16 x 8"
    images = torch.rand(3, 3, 8, 16) * 2 - 1
    fed = ((images + 1) / 2 * 255).flip(1) - torch.tensor(mean).reshape(3, 1, 1)
    assert torch.equal(found(images), by_hand(weights, fed))
    plain = onnx_file(tmp_path / "plain.onnx", range=[-1, 1], size=[4, 6])
    found = open_segmenter(tmp_path / "plain.onnx")
    assert found.preprocessing == "RGB values from -1 to 1, bilinear to 6 x 4"
    small = torch.rand(1, 3, 4, 6) * 2 - 1
    assert torch.equal(found(small), by_hand(plain, small))
    assert found(images).shape == (3, 4, 6)


def test_onnx_files_that_will_not_do(tmp_path: Path) -> None:
    file = tmp_path / "network.onnx"
    onnx_file(file, ("N", 3, "H", "W"), mean="red")
    with pytest.raises(UserError, match="mean in the metadata"):
        open_segmenter(file)
    onnx_file(file, ("N", 3, "H", "W"), std=[1, 1, 0])
    with pytest.raises(UserError, match="std in the metadata"):
        open_segmenter(file)
    onnx_file(file, ("N", 3, "H", "W"), order="GRB")
    with pytest.raises(UserError, match="RGB or BGR"):
        open_segmenter(file)
    onnx_file(file, ("N", 3, "H", "W"), palette="{}")
    with pytest.raises(UserError, match="the palette in the metadata"):
        open_segmenter(file)
    file.write_bytes(b"\x08\x08garbage")
    with pytest.raises(UserError, match="cannot be opened as an ONNX network"):
        open_segmenter(file)


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network.onnx").write_bytes(b"\x08\x08 anything")

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(segmenters.importlib, "import_module", absent)
    with pytest.raises(Missing, match=r"transfigure\[export\]"):
        open_segmenter(tmp_path / "network.onnx")
