"""The encoder is transformers', for any bands, any size, any path, and any precision."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.sam.modeling_sam import SamVisionEncoder

from sensam.errors import SettingsError
from sensam.sam import encoder as encoder_module
from sensam.sam import piecewise
from sensam.sam.anatomy import Anatomy, anatomy
from sensam.sam.attention import PATHS
from sensam.sam.derived import Derived
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import transformers_config

TINY = Anatomy("tiny", 32, 4, 2, (1, 3), window=3, patch=4, image_size=32, embedding=16)
SIZES = [(32, 32), (24, 40), (52, 20), (8, 100), (4, 4)]  # 8 x 8 tokens, rectangles, one row of windows, one token
FAST_PATHS = [path for path in PATHS if path != "flex"]  # which takes seconds on a CPU, and tests of its own


def make(*, neck: bool = True, **measures: int) -> ImageEncoder:
    encoder = ImageEncoder(replace(TINY, **measures), neck=neck)
    for name, weight in encoder.named_parameters():
        nn.init.normal_(weight, mean=float("norm" in name and name.endswith("weight")), std=0.3)
    return encoder.eval()


def by_transformers(encoder: ImageEncoder, image: Tensor) -> Tensor:
    """transformers' own layers with the same weights, led around its check of the image's size."""
    config = transformers_config(encoder.anatomy).vision_config
    config._attn_implementation = "eager"
    theirs = SamVisionEncoder(config).eval()
    theirs.load_state_dict(encoder.state_dict())
    x = theirs.patch_embed.projection(image).permute(0, 2, 3, 1)
    positions = F.interpolate(theirs.pos_embed.permute(0, 3, 1, 2), x.shape[1:3], mode="bilinear").permute(0, 2, 3, 1)
    x = x + positions
    for layer in theirs.layers:
        x = layer(x)
    out: Tensor = theirs.neck(x)
    return out


@pytest.mark.parametrize("path", FAST_PATHS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_transformers(size: tuple[int, int], path: str) -> None:
    encoder, image = make().use_attention(path), torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = by_transformers(encoder, image)
        assert expected.std() > 0.1
        assert (encoder(image) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("path", [path for path in FAST_PATHS if path != "explicit"])
@pytest.mark.parametrize("size", [(32, 32), (20, 44)], ids=str)
def test_gradients_equal_those_of_the_explicit_path(size: tuple[int, int], path: str) -> None:
    encoder, image = make(), torch.randn(2, 3, *size)
    grads = []
    for name in ("explicit", path):
        encoder.use_attention(name).zero_grad()
        encoder(image).square().mean().backward()
        grads.append({name: weight.grad.clone() for name, weight in encoder.named_parameters()})
    for name, reference in grads[0].items():
        assert (grads[1][name] - reference).abs().max() < 1e-5 * max(1, reference.abs().max()), name


@pytest.mark.slow
def test_flex_equals_transformers() -> None:
    encoder, image = make().use_attention("flex"), torch.randn(1, 3, 20, 44)
    with torch.no_grad():
        assert (encoder(image) - by_transformers(encoder, image)).abs().max() < 1e-5


def test_a_misspelt_path_is_named() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'fused'"):
        make().use_attention("fuse")


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_names_and_shapes_are_those_of_transformers(size: str) -> None:
    with torch.device("meta"):
        ours = ImageEncoder(anatomy(size)).state_dict()
        theirs = SamVisionEncoder(transformers_config(anatomy(size)).vision_config).state_dict()
    assert {name: weight.shape for name, weight in ours.items()} == {n: weight.shape for n, weight in theirs.items()}
    assert len(ours) == {"b": 177, "l": 345, "h": 457}[size]


@pytest.mark.parametrize("bands", [1, 3, 4, 13, 16])
def test_parameters_of_a_student(bands: int) -> None:
    with torch.device("meta"):
        student = ImageEncoder(replace(anatomy("b"), bands=bands), neck=False)
    assert sum(weight.numel() for weight in student.parameters()) == 88_883_456 + 196_608 * (bands - 3)


@pytest.mark.parametrize("bands", [1, 4, 13])
def test_any_number_of_bands(bands: int) -> None:
    encoder = make(bands=bands)
    assert encoder(torch.randn(1, bands, 20, 28)).shape == (1, 16, 5, 7)
    assert encoder.tokens(torch.randn(1, bands, 20, 28)).shape == (1, 5, 7, 32)


@pytest.mark.slow
def test_shapes_without_numbers() -> None:
    """On PyTorch's meta device, where a size is known in an instant."""
    with torch.device("meta"):
        encoder, image = ImageEncoder(anatomy("b")), torch.empty(2, 3, 1000, 600)
    assert encoder(image).shape == (2, 256, 63, 38)


def test_without_a_neck_the_tokens_come_out() -> None:
    encoder, image = make(neck=False), torch.randn(1, 3, 20, 28)
    assert torch.equal(encoder(image), encoder.tokens(image))


@pytest.mark.parametrize("size", [(100, 203), (1, 1), (33, 32), (7, 4)], ids=str)
def test_an_edge_that_is_no_multiple_of_the_patch_is_padded_with_the_mean(size: tuple[int, int]) -> None:
    encoder, image = make(), torch.randn(1, 3, *size)
    h, w = (-(-side // 4) for side in size)
    canvas = torch.zeros(1, 3, 4 * h, 4 * w)
    canvas[..., : size[0], : size[1]] = image
    with torch.no_grad():
        out = encoder(image)
        assert out.shape == (1, 16, h, w)
        assert torch.equal(out, encoder(canvas))


@pytest.mark.parametrize("size", [(32, 32), (36, 60)], ids=str)
def test_in_pieces_as_in_one(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, image = make(), torch.randn(3, 3, *size)
    whole = encoder(image)
    for limit in (1, 20, 100):
        monkeypatch.setattr(piecewise, "TOKENS_AT_ONCE", limit)
        with torch.no_grad():
            assert (encoder(image) - whole).abs().max() < 1e-5


def test_images_of_a_batch_do_not_see_each_other() -> None:
    encoder, images = make(), torch.randn(3, 3, 28, 36)
    with torch.no_grad():
        singly = torch.cat([encoder(image[None]) for image in images])
        assert (encoder(images) - singly).abs().max() < 1e-5


def derived(encoder: ImageEncoder) -> int:
    return sum(len(module._kept) for module in encoder.modules() if isinstance(module, Derived))


def test_tables_are_kept_in_inference_and_equal_live_ones() -> None:
    encoder, image = make(), torch.randn(1, 3, 24, 40)
    live = encoder(image).detach()
    assert derived(encoder) == 0
    with torch.inference_mode():
        for _ in range(2):
            assert torch.equal(encoder(image), live)
    assert derived(encoder) == 1 + 2 * TINY.depth  # the grid, and rows and columns of every block
    encoder.load_state_dict(make().state_dict())
    with torch.no_grad():
        kept = encoder(image)
    assert torch.equal(kept, encoder(image))
    assert not torch.equal(kept, live)
    encoder.train()
    assert derived(encoder) == 0


def test_converted_weights_are_kept_for_small_images_and_not_for_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, image = make(), torch.randn(1, 3, 24, 40)
    tables = 1 + 2 * TINY.depth
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        small = encoder(image)
        assert derived(encoder) == tables + 4 * TINY.depth  # two products of attention, two of the perceptron
        monkeypatch.setattr(encoder_module, "MANY_TOKENS", 60)
        assert torch.equal(encoder(image), small)
    assert derived(encoder) == tables


def test_only_global_blocks_resample_their_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, resampled = make(), []
    interpolate = F.interpolate

    def note(table: Tensor, **options: object) -> Tensor:
        resampled.append(table)
        return interpolate(table, **options)

    monkeypatch.setattr(F, "interpolate", note)
    encoder(torch.randn(1, 3, 32, 32))
    assert resampled == []
    encoder(torch.randn(1, 3, 20, 48))
    assert sorted(tuple(table.shape) for table in resampled) == [(1, 16, 15)] * 4 + [(1, 32, 8, 8)]


def test_a_used_encoder_can_be_copied_and_saved() -> None:
    encoder, image = make(), torch.randn(1, 3, 20, 28)
    with torch.no_grad():
        expected = encoder(image)
        assert torch.equal(copy.deepcopy(encoder)(image), expected)


@pytest.mark.parametrize("path", FAST_PATHS)
def test_half_precision(path: str) -> None:
    encoder, image = make().use_attention(path), torch.randn(1, 3, 24, 40)
    with torch.no_grad():
        exact = encoder(image)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = encoder(image)
        half = encoder.to(torch.bfloat16)(image.bfloat16())
    assert half.dtype == torch.bfloat16
    for out in (mixed, half):
        assert out.isfinite().all()
        assert (out - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("path", FAST_PATHS)
def test_training_under_autocast(path: str) -> None:
    encoder, image = make().use_attention(path), torch.randn(1, 3, 24, 40)
    encoder(image).square().mean().backward()
    exact = {name: weight.grad.clone() for name, weight in encoder.named_parameters()}
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = encoder(image)
    out.float().square().mean().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad.dtype == torch.float32
        assert (weight.grad - exact[name]).norm() < 0.1 * exact[name].norm(), name


def test_checkpointing_changes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, image = make().train(), torch.randn(2, 3, 24, 40)
    calls, grads = [], []
    checkpoint = encoder_module.checkpoint
    monkeypatch.setattr(encoder_module, "checkpoint", lambda *a, **k: calls.append(1) or checkpoint(*a, **k))
    for encoder.checkpointing in (False, True):
        encoder.zero_grad()
        encoder(image).square().mean().backward()
        grads.append([weight.grad.clone() for weight in encoder.parameters()])
    assert len(calls) == TINY.depth
    for plain, again in zip(*grads, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        encoder(image)
    assert len(calls) == TINY.depth  # nothing to save where nothing is kept


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled(backend: str) -> None:
    """In one graph; the second also through the code generator."""
    encoder, image = make(depth=2, global_blocks=(1,)), torch.randn(1, 3, 20, 44)
    compiled = torch.compile(encoder, fullgraph=True, dynamic=False, backend=backend)
    expected = encoder(image)
    expected.square().mean().backward()
    grads = [weight.grad.clone() for weight in encoder.parameters()]
    encoder.zero_grad()
    with torch.no_grad():
        assert (compiled(image) - expected).abs().max() < 1e-5
    compiled(image).square().mean().backward()
    for ours, reference in zip(encoder.parameters(), grads, strict=True):
        torch.testing.assert_close(ours.grad, reference, rtol=1e-4, atol=1e-5)
