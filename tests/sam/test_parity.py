"""The same weights in transformers' SamModel give the same embeddings, masks, scores and gradients."""

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import SamModel

from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam
from sensam.types import Prompts

Pair = Callable[..., tuple[Sam, SamModel]]
CLOSE = 1e-4
KINDS = ("points", "points, padded", "boxes", "points and boxes")
WITH_MASKS = ("masks", "points and masks", "boxes and masks", "points, boxes and masks")


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.02, "numbers this alike would pass whatever was computed"
    assert (ours - theirs).abs().max() < CLOSE


def ask(kind: str, images: int, each: int, size: tuple[int, int], seed: int = 5) -> dict[str, Tensor]:
    """Prompts as transformers takes them: images x prompts each x ..."""
    dice = torch.Generator().manual_seed(seed)
    frame = torch.tensor([size[1], size[0]])
    asked = {}
    if "points" in kind:
        asked["input_points"] = torch.rand(images, each, 3, 2, generator=dice) * frame
        choices = torch.tensor([1, 0, -1, -10] if "padded" in kind else [1, 0])
        asked["input_labels"] = choices[torch.randint(len(choices), (images, each, 3), generator=dice)]
    if "boxes" in kind:
        corners = torch.rand(images, each, 2, 2, generator=dice).sort(2).values * frame
        asked["input_boxes"] = corners.flatten(2)
    if "masks" in kind:
        asked["input_masks"] = torch.randn(images * each, 1, size[0] // 4, size[1] // 4, generator=dice) * 4
    return asked


def as_prompts(asked: dict[str, Tensor]) -> Prompts:
    flat = {key: value if key == "input_masks" else value.flatten(0, 1) for key, value in asked.items()}
    return Prompts(flat.get("input_points"), flat.get("input_labels"), flat.get("input_boxes"), flat.get("input_masks"))


def decode_both(sam: Sam, twin: SamModel, embedding: Tensor, asked: dict[str, Tensor], multimask: bool) -> None:
    """Compare masks and scores for prompts that transformers takes all at once."""
    with torch.no_grad():
        masks, scores = sam.decode(embedding, as_prompts(asked), multimask=multimask)
        theirs = twin(image_embeddings=embedding, **asked, multimask_output=multimask)
    assert_close(masks, theirs.pred_masks.flatten(0, 1))
    assert (scores - theirs.iou_scores.flatten(0, 1)).abs().max() < CLOSE


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(("size", "window"), [(64, 3), (64, 14), (128, 14), (224, 14)])
def test_image_to_masks(pair: Pair, size: int, window: int, multimask: bool) -> None:
    sam, twin = pair(image_size=size, window=window)
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    asked = ask("points and boxes", 2, 3, (size, size))
    with torch.no_grad():
        embedding = sam.encode(image)
        masks, scores = sam.decode(embedding, as_prompts(asked), multimask=multimask)
        theirs = twin(pixel_values=image, **asked, multimask_output=multimask)
        assert_close(embedding, twin.get_image_embeddings(image))
    assert_close(masks, theirs.pred_masks.flatten(0, 1))
    assert (scores - theirs.iou_scores.flatten(0, 1)).abs().max() < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_prompts_on_a_batch(pair: Pair, kind: str, multimask: bool) -> None:
    sam, twin = pair()
    embedding = torch.randn(2, 32, 4, 4)
    decode_both(sam, twin, embedding, ask(kind, 2, 5, (64, 64)), multimask)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", WITH_MASKS)
def test_masks_as_prompts(pair: Pair, kind: str, multimask: bool) -> None:
    sam, twin = pair()
    embedding = torch.randn(2, 32, 4, 4)
    decode_both(sam, twin, embedding, ask(kind, 2, 1, (64, 64)), multimask)


@pytest.mark.parametrize("kind", WITH_MASKS)
def test_several_masks_on_an_image(pair: Pair, kind: str) -> None:
    """transformers takes one mask an image, so it is asked once for every prompt."""
    sam, twin = pair()
    embedding = torch.randn(2, 32, 4, 4)
    asked = ask(kind, 2, 3, (64, 64))
    with torch.no_grad():
        masks, scores = sam.decode(embedding, as_prompts(asked))
        for row in range(6):
            image, place = divmod(row, 3)
            one = {
                key: value[row : row + 1] if key == "input_masks" else value[image : image + 1, place : place + 1]
                for key, value in asked.items()
            }
            theirs = twin(image_embeddings=embedding[image : image + 1], **one)
            assert_close(masks[row], theirs.pred_masks[0, 0])
            assert (scores[row] - theirs.iou_scores[0, 0]).abs().max() < CLOSE


@pytest.mark.slow
def test_gradients_of_every_weight(pair: Pair) -> None:
    """With all kinds of prompts every weight moves the loss, and in both models alike, to nearly double precision."""
    sam, twin = (model.double() for model in pair())
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for kind in ("points, padded", "points and boxes", "points and masks"):
        asked = {key: value.double() for key, value in ask(kind, 2, 1, (64, 64)).items()}
        for multimask in (True, False):
            masks, scores = sam.decode(sam.encode(image), as_prompts(asked), multimask=multimask)
            theirs = twin(pixel_values=image, **asked, multimask_output=multimask)
            (masks.square().mean() + scores.square().mean()).backward()
            (theirs.pred_masks.square().mean() + theirs.iou_scores.square().mean()).backward()
    expected = {name: weight.grad for name, weight in twin.named_parameters()}
    for name, weight in sam.named_parameters():
        if weight.requires_grad:
            scale = expected[name].abs().max()
            # The bias of a key shifts all scores of a query alike, which softmax does not notice: no gradient.
            assert scale > 1e-6 or name.endswith("k_proj.bias"), name
            assert (weight.grad - expected[name]).abs().max() < 1e-9 + 1e-6 * scale, name


def resample(table: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Linear resampling with the edges of first and last cell aligned, cell by cell."""
    cells = np.moveaxis(table, axis, 0)
    rows = []
    for place in range(length):
        source = min(max((place + 0.5) * len(cells) / length - 0.5, 0.0), len(cells) - 1.0)
        low = math.floor(source)
        high = min(low + 1, len(cells) - 1)
        rows.append(cells[low] * (high - source if high > low else 1.0) + cells[high] * (source - low))
    return np.moveaxis(np.stack(rows), 0, axis)


def resampled_twin(pair: Pair, sam: Sam, size: int) -> SamModel:
    """transformers' model of another size, with position tables resampled by the reference above."""
    _, twin = pair(image_size=size)
    grid = size // sam.anatomy.patch
    weights = {name: weight.clone() for name, weight in sam.state_dict().items()}
    place = weights["vision_encoder.pos_embed"].double().numpy()
    weights["vision_encoder.pos_embed"] = torch.from_numpy(resample(resample(place, 1, grid), 2, grid)).float()
    for block in sam.anatomy.global_blocks:
        for axis in "hw":
            name = f"vision_encoder.layers.{block}.attn.rel_pos_{axis}"
            weights[name] = torch.from_numpy(resample(weights[name].double().numpy(), 0, 2 * grid - 1)).float()
    twin.load_state_dict(weights)
    return twin


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 48, 96, 128])
def test_sizes_other_than_the_trained_one(pair: Pair, make_sam: Callable[..., Sam], size: int) -> None:
    sam = make_sam()
    twin = resampled_twin(pair, sam, size)
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        embedding = sam.encode(image)
        assert_close(embedding, twin.get_image_embeddings(image))
    for kind in (*KINDS, *WITH_MASKS):
        decode_both(sam, twin, embedding, ask(kind, 1, 1, (size, size)), multimask=True)


def encode_by_hand(twin: SamModel, image: Tensor) -> Tensor:
    """A rectangle through transformers' layers, which take any size once the grid is resampled."""
    encoder = twin.vision_encoder
    tokens = encoder.patch_embed.projection(image).permute(0, 2, 3, 1)
    grid = encoder.pos_embed.double().numpy()
    grid = resample(resample(grid, 1, tokens.shape[1]), 2, tokens.shape[2])
    tokens = tokens + torch.from_numpy(grid).float()
    for layer in encoder.layers:
        tokens = layer(tokens)
    return encoder.neck(tokens)


@pytest.mark.parametrize("size", [(64, 96), (80, 32), (16, 112)])
def test_rectangles_through_the_encoder(pair: Pair, size: tuple[int, int]) -> None:
    sam, twin = pair()
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert_close(sam.encode(image), encode_by_hand(twin, image))


def code_places(twin: SamModel, places: np.ndarray) -> Tensor:
    """SAM's code of places (x, y) in units of the frame."""
    matrix = twin.shared_image_embedding.positional_embedding.detach().double().numpy()
    phase = 2 * np.pi * ((2 * places - 1) @ matrix)
    return torch.from_numpy(np.concatenate([np.sin(phase), np.cos(phase)], -1)).float()


@pytest.mark.parametrize("kind", ["points", "boxes", "points and boxes", "points and masks", "masks"])
@pytest.mark.parametrize(("h", "w"), [(3, 5), (6, 2)])
def test_rectangles_through_the_decoder(pair: Pair, kind: str, h: int, w: int) -> None:
    """transformers' mask decoder with embeddings made by hand, in the frame of the padded rectangle."""
    sam, twin = pair()
    embedding = torch.randn(1, 32, h, w)
    asked = ask(kind, 1, 1, (16 * h, 16 * w))
    frame, prompts = np.array([16 * w, 16 * h]), twin.prompt_encoder
    kinds = [layer.weight.detach() for layer in prompts.point_embed]
    sparse = []
    if "points" in kind:
        codes = code_places(twin, (asked["input_points"][0, 0].double().numpy() + 0.5) / frame)
        sparse += [code + kinds[label] for code, label in zip(codes, asked["input_labels"][0, 0], strict=True)]
        if "boxes" not in kind:
            sparse.append(prompts.not_a_point_embed.weight.detach())
    if "boxes" in kind:
        corners = (asked["input_boxes"][0, 0].view(2, 2).double().numpy() + 0.5) / frame
        sparse += [code + kinds[2 + corner] for corner, code in enumerate(code_places(twin, corners))]
    x, y = np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h)
    with torch.no_grad():
        dense = prompts.no_mask_embed.weight.view(1, -1, 1, 1).expand(1, -1, h, w)
        if "masks" in kind:
            dense = prompts.mask_embed(asked["input_masks"])
        theirs = twin.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=code_places(twin, np.stack([x, y], -1)).permute(2, 0, 1)[None],
            sparse_prompt_embeddings=torch.cat(sparse)[None, None] if sparse else None,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        masks, scores = sam.decode(embedding, as_prompts(asked))
    assert_close(masks, theirs[0][0])
    assert (scores - theirs[1][0]).abs().max() < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("side", [1024, 512])
def test_full_size(pair: Pair, side: int) -> None:
    """ViT-B: every windowed block padded from 64 to 70 tokens, or 32 to 42; 4096 or 1024 of them in global blocks."""
    sam, twin = pair(**asdict(anatomy("b")) | {"image_size": side})
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        embedding, theirs = sam.encode(image), twin.get_image_embeddings(image)
    assert embedding.shape == (1, 256, side // 16, side // 16)
    assert_close(embedding, theirs)
    before = embedding.clone()
    for kind, multimask in product((*KINDS, "points and masks"), (True, False)):
        decode_both(sam, twin, embedding, ask(kind, 1, 1, (side, side)), multimask)
    assert torch.equal(embedding, before), "decoding changed what it was given"
