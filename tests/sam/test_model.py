"""Sam on its own: what must hold whatever the weights, and what it refuses."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.sam.image_processing_sam import SamImageProcessor

from sensam.errors import InputError, SettingsError
from sensam.sam.anatomy import SIZES, anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam, build_sam
from sensam.types import Prompts

MakeSam = Callable[..., Sam]


def points(count: int, each: int = 2, frame: tuple[int, int] = (64, 64)) -> Prompts:
    place = torch.rand(count, each, 2) * torch.tensor([frame[1], frame[0]])
    return Prompts(place, torch.randint(0, 2, (count, each)))


def pick(prompts: Prompts, rows: slice) -> Prompts:
    parts = (prompts.points_NP2, prompts.labels_NP, prompts.boxes_N4, prompts.masks_N1HW)
    return Prompts(*(None if part is None else part[rows] for part in parts))


def differ(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_a_batch_is_its_images(make_sam: MakeSam, bands: int, size: tuple[int, int]) -> None:
    sam = make_sam(bands=bands)
    image, prompts = torch.randn(3, bands, *size), points(6, frame=size)
    with torch.no_grad():
        embedding = sam.encode(image)
        masks, scores = sam.decode(embedding, prompts)
        for row in range(3):
            alone = sam.encode(image[row : row + 1])
            assert differ(alone, embedding[row : row + 1]) < 1e-5
            mask, score = sam.decode(alone, pick(prompts, slice(2 * row, 2 * row + 2)))
            assert differ(mask, masks[2 * row : 2 * row + 2]) < 1e-4
            assert differ(score, scores[2 * row : 2 * row + 2]) < 1e-4


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_prompts_together_are_prompts_one_by_one(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    sam = Sam(replace(SIZES["nano"], width=16, heads=1, depth=0, embedding=32, decoder_heads=2)).eval()
    h, w, count = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    kinds = data.draw(st.sets(st.sampled_from(("points", "boxes", "masks")), min_size=1))
    prompts = Prompts(
        torch.rand(count, 2, 2) * 8 * h if "points" in kinds else None,
        torch.randint(0, 2, (count, 2)) if "points" in kinds else None,
        torch.rand(count, 4) * 8 * w if "boxes" in kinds else None,
        torch.randn(count, 1, 4 * h, 4 * w) if "masks" in kinds else None,
    )
    embedding, multimask = torch.randn(1, 32, h, w), data.draw(st.booleans())
    with torch.no_grad():
        masks, scores = sam.decode(embedding, prompts, multimask=multimask)
        assert masks.shape == (count, 3 if multimask else 1, 4 * h, 4 * w)
        assert scores.shape == masks.shape[:2]
        for row in range(count):
            mask, score = sam.decode(embedding, pick(prompts, slice(row, row + 1)), multimask=multimask)
            assert differ(mask, masks[row : row + 1]) < 1e-4
            assert differ(score, scores[row : row + 1]) < 1e-4


def test_clicks_are_places_in_the_padded_frame(make_sam: MakeSam) -> None:
    """An image padded by hand is the image padded by the encoder, clicks and all."""
    sam, image = make_sam(), torch.randn(1, 3, 50, 70)
    padded = torch.nn.functional.pad(image, (0, 10, 0, 14))
    prompts = points(2, frame=(50, 70))
    with torch.no_grad():
        masks, _ = sam.decode(sam.encode(image), prompts)
        again, _ = sam.decode(sam.encode(padded), prompts)
    assert torch.equal(masks, again)
    assert masks.shape[-2:] == (16, 20)


def test_order_of_points_does_not_matter(make_sam: MakeSam) -> None:
    sam, embedding, prompts = make_sam(), torch.randn(1, 32, 4, 4), points(2, each=4)
    with torch.no_grad():
        masks, _ = sam.decode(embedding, prompts)
        again, _ = sam.decode(embedding, Prompts(prompts.points_NP2.flip(1), prompts.labels_NP.flip(1)))
    assert differ(masks, again) < 1e-4


def test_where_a_padding_point_lies_does_not_matter(make_sam: MakeSam) -> None:
    sam, embedding = make_sam(), torch.randn(1, 32, 4, 4)
    place, label = torch.tensor([[[9.0, 30.0], [1.0, 2.0]]]), torch.tensor([[1, -10]])
    elsewhere = torch.tensor([[[9.0, 30.0], [40.0, 50.0]]])
    with torch.no_grad():
        assert torch.equal(
            sam.decode(embedding, Prompts(place, label))[0], sam.decode(embedding, Prompts(elsewhere, label))[0]
        )


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (50, 70)])
def test_enlarging_is_what_transformers_does_after_decoding(make_sam: MakeSam, size: tuple[int, int]) -> None:
    frame = [math.ceil(side / 16) * 16 for side in size]
    logits = torch.randn(2, 3, frame[0] // 4, frame[1] // 4)
    theirs = SamImageProcessor().post_process_masks(
        [logits],
        original_sizes=[size],
        reshaped_input_sizes=[size],
        binarize=False,
        pad_size={"height": frame[0], "width": frame[1]},
    )[0]
    assert differ(make_sam().enlarge(logits, size), theirs) < 1e-5


@pytest.mark.parametrize("patch", [8, 14, 16])
def test_enlarging_reaches_every_pixel_whatever_the_patch(make_sam: MakeSam, patch: int) -> None:
    sam = make_sam(patch=patch, image_size=4 * patch)
    size = (3 * patch - 5, 5 * patch)
    with torch.no_grad():
        logits, _ = sam.decode(sam.encode(torch.randn(1, 3, *size)), points(1))
    assert sam.enlarge(logits, size).shape == (1, 3, *size)


def test_the_place_code_is_sams() -> None:
    """One matrix of unit variance under both of transformers' names, and nothing trains it."""
    sam = build_sam("nano")
    code = sam.shared_image_embedding.positional_embedding
    assert sam.prompt_encoder.shared_embedding.positional_embedding is code
    assert abs(float(code.std()) - 1) < 0.3
    assert [name for name, weight in sam.named_parameters() if not weight.requires_grad] == [
        "shared_image_embedding.positional_embedding"
    ]


def test_places_keep_full_precision_under_autocast(make_sam: MakeSam) -> None:
    """In bf16 a click at pixel 1000 would be one at 1000 plus or minus 4."""
    sam = make_sam(image_size=1024)
    embedding, prompts = torch.randn(1, 32, 64, 64), points(4, frame=(1024, 1024))
    seen = []
    hook = sam.mask_decoder.register_forward_pre_hook(lambda *call: seen.append(call[2]), with_kwargs=True)
    with torch.no_grad():
        sam.decode(embedding, prompts)
        with torch.autocast("cpu", torch.bfloat16):
            sam.decode(embedding, prompts)
    hook.remove()
    for name in ("sparse_prompt_embeddings", "image_positional_embeddings"):
        assert torch.equal(seen[0][name], seen[1][name])


def test_bf16_weights_take_float_prompts(make_sam: MakeSam) -> None:
    sam = make_sam().bfloat16()
    prompts = Prompts(torch.rand(2, 1, 2) * 64, torch.ones(2, 1), torch.rand(2, 4) * 64, torch.randn(2, 1, 16, 16))
    with torch.no_grad():
        masks, scores = sam.decode(sam.encode(torch.randn(1, 3, 64, 64).bfloat16()), prompts)
    assert masks.dtype == scores.dtype == torch.bfloat16
    assert masks.isfinite().all()


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_size_of_the_student(bands: int) -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(replace(anatomy("b"), bands=bands), neck=False)
    assert sum(weight.numel() for weight in encoder.parameters()) == 88_883_456 + 196_608 * (bands - 3)


def test_nano_stays_small() -> None:
    assert sum(weight.numel() for weight in build_sam("nano").parameters()) <= 3_000_000


def test_prompts_that_cannot_be_shared(make_sam: MakeSam) -> None:
    with pytest.raises(InputError, match="3 prompts cannot be shared evenly by 2 images"):
        make_sam().decode(torch.randn(2, 32, 4, 4), points(3))


@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 1, 1), (3, 16, 16)])
def test_mask_prompts_of_another_size(make_sam: MakeSam, shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match=r"needs N x 1 x 16 x 16") as caught:
        make_sam().decode(torch.randn(1, 32, 4, 4), Prompts(masks_N1HW=torch.randn(2, *shape)))
    assert f"N x {' x '.join(map(str, shape))}" in str(caught.value)


def test_a_misspelt_size() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'nano'"):
        build_sam("nanno")
