"""Weights from files: the network computes what the file's arrays say, in numbers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional

from data.errors import ModelError
from trainer import torchvision_guard  # noqa: F401  (must come before timm)
from trainer.fitting.cpu_threads import use_cpu_threads
from trainer.network.network import normalised
from trainer.network.timm_weights import load_folded_weights, renormalise

import timm  # isort: skip

Arrays = dict[str, NDArray[np.float16]]

REPEATS = (1, 2, 3, 4, 3, 3, 1)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Blocks of MobileNetV2 and the stride of the first of each (Sandler et al. 2018, table 2)."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    use_cpu_threads(1)


def small_mobilenet(channels: int) -> nn.Module:
    model = timm.create_model("mobilenetv2_035", in_chans=channels, num_classes=0, pad_type="same")
    assert isinstance(model, nn.Module)
    return model.eval()


def random_arrays(seed: int = 0) -> Arrays:
    """Arrays in the form of a converted network with 0.35 of MobileNetV2's channels."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    convolutions = [m for m in small_mobilenet(3).modules() if isinstance(m, nn.Conv2d)]
    shapes = [(m.out_channels, *m.kernel_size, m.in_channels // m.groups) for m in convolutions]
    shapes.append((10, 1, 1, convolutions[-1].out_channels))
    for number, (out, height, width, inputs) in enumerate(shapes):
        kind, shape = "conv_2d", (out, height, width, inputs)
        if height == 3 and inputs == 1:
            kind, shape = "depthwise_conv_2d", (1, height, width, out)
        spread = np.sqrt(2 / (height * width * inputs))
        arrays[f"{number:02d}_{kind}/weight"] = rng.normal(0, spread, shape).astype(np.float16)
        arrays[f"{number:02d}_{kind}/bias"] = rng.normal(0, 0.2, out).astype(np.float16)
    return arrays


def write(folder: Path, arrays: Arrays) -> Path:
    file = folder / "folded.npz"
    np.savez(file, allow_pickle=False, **arrays)
    return file


def convolve(arrays: Arrays, number: int, x: Tensor, stride: int = 1) -> Tensor:
    """One convolution of the file, padded as TensorFlow's SAME does, without activation."""
    (name,) = (n for n in arrays if n.startswith(f"{number:02d}_") and n.endswith("weight"))
    weight = torch.from_numpy(arrays[name].astype(np.float32))
    bias = torch.from_numpy(arrays[name.replace("weight", "bias")].astype(np.float32))
    depthwise = "depthwise" in name
    weight = weight.permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    side = x.shape[-1]
    missing = max(0, (-(-side // stride) - 1) * stride + weight.shape[-1] - side)
    before, after = missing // 2, missing - missing // 2
    x = functional.pad(x, (before, after, before, after))
    groups = x.shape[1] if depthwise else 1
    return functional.conv2d(x, weight, bias, stride=stride, groups=groups)


def mobilenet_features(arrays: Arrays, pixels: Tensor) -> Tensor:
    """The pooled features of MobileNetV2, straight from the arrays: (N, 3, S, S) in -1..1."""
    relu6 = functional.relu6
    x = relu6(convolve(arrays, 0, pixels, stride=2))
    x = convolve(arrays, 2, relu6(convolve(arrays, 1, x)))
    number = 3
    for repeats, first_stride in zip(REPEATS[1:], STRIDES[1:], strict=True):
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            wide = relu6(convolve(arrays, number, x))
            wide = relu6(convolve(arrays, number + 1, wide, stride))
            narrow = convolve(arrays, number + 2, wide)
            x = narrow + x if repeat else narrow
            number += 3
    return relu6(convolve(arrays, number, x)).mean((2, 3))


@pytest.mark.parametrize("side", [64, 51], ids=["even side", "odd side"])
def test_a_folded_network_gives_what_its_arrays_give(tmp_path: Path, side: int) -> None:
    arrays, backbone = random_arrays(), small_mobilenet(3)
    pixels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1

    load_folded_weights(backbone, write(tmp_path, arrays))

    expected = mobilenet_features(arrays, pixels)
    assert expected.std() > 0.01
    torch.testing.assert_close(backbone(pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalise", ["zscore", "interval"])
def test_a_grey_film_gives_what_the_same_film_in_colours_gives(
    tmp_path: Path, normalise: str
) -> None:
    arrays, backbone = random_arrays(), small_mobilenet(1)
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))

    load_folded_weights(backbone, write(tmp_path, arrays), normalise)

    first = backbone.get_submodule("bn1")(
        backbone.get_submodule("conv_stem")(normalised(grey, normalise))
    )
    in_colours = functional.relu6(convolve(arrays, 0, 2 * grey.expand(-1, 3, -1, -1) - 1, 2))
    # The padding at the right and lower edge is another grey.
    torch.testing.assert_close(
        first[..., :-1, :-1], in_colours[..., :-1, :-1], rtol=1e-4, atol=1e-4
    )


def test_even_padding_moves_the_image_by_one_pixel_per_stride(tmp_path: Path) -> None:
    backbone = timm.create_model("mobilenetv2_035", in_chans=3, num_classes=0).eval()
    arrays = random_arrays()
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    load_folded_weights(backbone, write(tmp_path, arrays))

    first = backbone.bn1(backbone.conv_stem(pixels))
    moved = functional.relu6(convolve(arrays, 0, pixels.roll((1, 1), (2, 3)), 2))
    torch.testing.assert_close(first[..., 1:-1, 1:-1], moved[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"52_conv_2d/weight": None, "51_conv_2d/weight": None}, "holds 51 convolutions, the "),
        (
            {"02_conv_2d/weight": np.zeros((9, 1, 1, 9), np.float16)},
            r"02_conv_2d/weight is 9 x 9 x 1 x 1 instead of 8 x 16 x 1 x 1",
        ),
        ({"07_depthwise_conv_2d/bias": None}, "07_depthwise_conv_2d/weight in .* a bias"),
        ({"03_conv_2d/bias": np.full(48, np.nan, np.float16)}, "03_conv_2d/bias .* finite"),
    ],
    ids=["layers are missing", "another shape", "no bias", "not finite"],
)
def test_a_folded_file_that_does_not_fit_is_refused_and_changes_nothing(
    tmp_path: Path, change: dict[str, NDArray[np.float16] | None], sentence: str
) -> None:
    given: dict[str, NDArray[np.float16] | None] = {**random_arrays(), **change}
    arrays = {name: array for name, array in given.items() if array is not None}
    backbone = small_mobilenet(3)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}

    with pytest.raises(ModelError, match=sentence):
        load_folded_weights(backbone, write(tmp_path, arrays))

    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def timm_arrays(channels: int, classes: int) -> dict[str, NDArray[np.float32]]:
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", in_chans=channels, num_classes=classes)
    return {
        name: value.numpy()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_weights_by_timms_names_are_taken_without_their_classifier(
    tmp_path: Path, kind: str
) -> None:
    arrays, file = timm_arrays(1, 10), tmp_path / f"w.{kind}"
    save_file(arrays, file) if kind == "safetensors" else np.savez(
        file, allow_pickle=False, **arrays
    )
    backbone = timm.create_model("test_resnet", in_chans=1, num_classes=0)

    load_folded_weights(backbone, file)

    for name, value in backbone.named_parameters():
        np.testing.assert_array_equal(value.detach().numpy(), arrays[name])


def test_a_first_convolution_of_three_colours_is_summed_to_grey(tmp_path: Path) -> None:
    arrays, file = timm_arrays(3, 0), tmp_path / "w.safetensors"
    save_file(arrays, file)
    backbone = timm.create_model("test_resnet", in_chans=1, num_classes=0)

    load_folded_weights(backbone, file)

    name = "conv1.0.weight"
    np.testing.assert_allclose(
        backbone.state_dict()[name], arrays[name].sum(1, keepdims=True), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bn1.weight": None}, "does not fit the backbone: bn1.weight is missing"),
        ({"layer9.weight": np.zeros(3, np.float32)}, "layer9.weight is not in the backbone"),
        ({"bn1.bias": np.zeros(3, np.float32)}, "bn1.bias is 3 instead of 32"),
    ],
    ids=["missing", "unknown", "another shape"],
)
def test_a_file_by_names_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, NDArray[np.float32] | None], sentence: str
) -> None:
    given: dict[str, NDArray[np.float32] | None] = {**timm_arrays(1, 0), **change}
    file = tmp_path / "w.safetensors"
    save_file({name: array for name, array in given.items() if array is not None}, file)
    backbone = timm.create_model("test_resnet", in_chans=1, num_classes=0)

    with pytest.raises(ModelError, match=re.escape(sentence)):
        load_folded_weights(backbone, file)


def array_alone() -> bytes:
    """What `np.save` writes: one array, and no archive of several."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, np.float32))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("w.npz", None, "cannot be read"),
        ("w.npz", b"no archive", "cannot be read"),
        ("w.npz", b"", "cannot be read"),
        ("w.npz", array_alone(), "cannot be read"),
        ("w.safetensors", b"no tensors", "cannot be read"),
        ("w.pth", b"", "must be a .safetensors or .npz file"),
    ],
    ids=["no file", "broken npz", "empty npz", "an array alone", "broken safetensors", "pickle"],
)
def test_an_unreadable_file_is_refused(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ModelError, match=sentence):
        load_folded_weights(small_mobilenet(3), file)


def test_renormalising_changes_no_answer_and_makes_training_agree_with_evaluation(
    tmp_path: Path,
) -> None:
    backbone = small_mobilenet(1)
    load_folded_weights(backbone, write(tmp_path, random_arrays()))
    films = torch.rand(16, 1, 48, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        before = backbone(films)
        untouched_in_training = backbone.train()(films)
    backbone.eval()
    load_folded_weights(backbone, tmp_path / "folded.npz")  # training moved the statistics

    renormalise(backbone, films)

    assert not backbone.training
    with torch.no_grad():
        after = backbone(films)
        in_training = backbone.train()(films)
    assert (untouched_in_training - before).abs().mean() > 0.1
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(in_training, before, rtol=1e-2, atol=1e-2)


FILE = "mobilenet_v2_1.0_224_imagenet_dequantised_bnfolded.npz"


@pytest.mark.real_data
def test_the_real_arrays_recognise_a_photograph(real_data: Path) -> None:
    images = pytest.importorskip("sklearn.datasets").load_sample_images().images
    file = real_data / "weights" / FILE
    if not file.exists():
        pytest.skip(f"there is no weights/{FILE} among the test data")
    palace = torch.from_numpy(images[0][None, :, 100:527].astype(np.float32)).permute(0, 3, 1, 2)
    pixels = functional.interpolate(palace, (224, 224), mode="bilinear", antialias=True) / 127.5 - 1
    with np.load(file) as content:
        arrays = {name: content[name] for name in content.files}
    backbone = timm.create_model("mobilenetv2_100", num_classes=0, pad_type="same").eval()

    load_folded_weights(backbone, file)

    with torch.no_grad():
        features = backbone(pixels)
        torch.testing.assert_close(
            features, mobilenet_features(arrays, pixels), rtol=1e-3, atol=1e-3
        )
        chances = convolve(arrays, 52, features[:, :, None, None]).flatten().softmax(0)
    # 1,001 classes: 0 is the background, so 699 is ImageNet's class 698, "palace".
    assert len(chances) == 1001
    assert chances.argmax() == 699
    assert chances[699] > 0.4
