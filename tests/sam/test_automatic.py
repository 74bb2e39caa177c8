"""Everything-masks: exact on a SAM that draws discs, and those of transformers' pipeline on the same weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import SamImageProcessor, SamModel, pipeline

import sensam.sam.framing as framing
from sensam.errors import InputError, SettingsError
from sensam.sam.anatomy import Anatomy
from sensam.sam.automatic import AutomaticSettings, generate, plan_crops, stability
from sensam.sam.framing import Fit
from sensam.sam.model import Sam, transformers_config
from sensam.sam.nano.scenes import make_scene
from sensam.sam.weights import load_sam
from sensam.types import Prompts

RADII = (4.0, 9.0, 200.0)  # in encoded pixels, the sizes of the three masks of every click
LENIENT = AutomaticSettings(points_per_side=4, min_iou=0.0, min_stability=0.0, max_overlap=1.0)


class DiscSam(Sam):
    """Answers a click with discs around it, as sharp and as sure of itself as told."""

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__(anatomy)
        self.scores = (0.95, 0.9, 0.2)
        self.sharpness = 3.0
        self.encoded: list[tuple[int, ...]] = []
        self.asked: list[int] = []

    def encode(self, image_BCHW: Tensor) -> Tensor:
        self.encoded.append(tuple(image_BCHW.shape))
        h, w = (side // self.anatomy.patch for side in image_BCHW.shape[-2:])
        return torch.zeros(1, self.anatomy.embedding, h, w)

    def decode(self, embedding_BEhw: Tensor, prompts: Prompts, *, multimask: bool = True) -> tuple[Tensor, Tensor]:
        assert multimask
        assert prompts.points_NP2 is not None
        self.asked.append(len(prompts))
        h, w = (4 * side for side in embedding_BEhw.shape[-2:])
        y, x = ((torch.arange(n) + 0.5) * self.anatomy.patch / 4 for n in (h, w))
        place = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        distance_Nhw = (place - prompts.points_NP2[:, 0, None, None]).norm(dim=-1)
        radius_M11 = torch.tensor(RADII)[:, None, None]
        logits = self.sharpness * (radius_M11 - distance_Nhw[:, None])
        return logits, torch.tensor(self.scores).expand(len(prompts), -1)


@pytest.fixture
def discs() -> DiscSam:
    tiny = Anatomy("tiny", 32, 1, 2, (0,), patch=8, image_size=64, embedding=32, decoder_heads=2, decoder_mlp=48)
    return DiscSam(tiny)


IMAGE = torch.zeros(3, 64, 64)


def test_every_click_finds_its_discs(discs: DiscSam) -> None:
    found = generate(discs, IMAGE, LENIENT)
    assert len(found) == 16 * 3
    assert discs.asked == [16]
    y, x = np.mgrid[:64, :64] + 0.5
    for score, radius in zip(discs.scores[:2], RADII[:2], strict=True):
        chosen = found.take(np.flatnonzero(np.isclose(found.scores_N, score)))
        assert len(chosen) == 16
        assert {tuple(point) for point in chosen.points_N2.tolist()} == {
            (8.0 + 16 * i, 8.0 + 16 * j) for i in range(4) for j in range(4)
        }
        for index, (px, py) in enumerate(chosen.points_N2):
            disc = np.hypot(x - px, y - py) < radius
            mask = chosen.mask(index)
            assert (mask & disc).sum() / (mask | disc).sum() > 0.85  # logits are interpolated from every second pixel
            x0, y0, x1, y1 = chosen.boxes_N4[index]
            assert mask[y0:y1, x0:x1].sum() == mask.sum() == chosen.areas_N[index]


def test_best_first(discs: DiscSam) -> None:
    scores = generate(discs, IMAGE, LENIENT).scores_N
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize(("changes", "count"), [({"min_iou": 0.5}, 32), ({"min_iou": 0.92}, 16), ({"min_iou": 1}, 0)])
def test_masks_sam_is_unsure_of_go(discs: DiscSam, changes: dict[str, float], count: int) -> None:
    assert len(generate(discs, IMAGE, replace(LENIENT, **changes))) == count


def test_unstable_masks_go(discs: DiscSam) -> None:
    discs.sharpness = 0.5  # thresholds of +-1 are discs of radius +-2: (2/6)^2 and (7/11)^2
    kept = generate(discs, IMAGE, replace(LENIENT, min_stability=0.3))
    assert set(np.round(kept.scores_N, 2).tolist()) == {
        np.float32(0.9).round(2).item(),
        np.float32(0.2).round(2).item(),
    }
    narrow = generate(discs, IMAGE, replace(LENIENT, min_stability=0.3, stability_offset=0.1))
    assert len(narrow) == 48


def test_duplicates_go(discs: DiscSam) -> None:
    discs.scores = (0.1, 0.2, 0.9)  # the third disc is the whole image, whoever clicks
    kept = generate(discs, IMAGE, replace(LENIENT, max_overlap=0.99))
    assert (kept.scores_N > 0.5).sum() == 1
    assert kept.areas_N[0] == 64 * 64


def test_small_masks_go(discs: DiscSam) -> None:
    kept = generate(discs, IMAGE, replace(LENIENT, min_area=100))
    assert len(kept) == 32
    assert kept.areas_N.min() >= 100


def test_nothing_found_is_no_error(discs: DiscSam) -> None:
    found = generate(discs, IMAGE, replace(LENIENT, min_area=5000))
    assert len(found) == 0
    assert found.masks().shape == (0, 64, 64)
    assert len(generate(discs, IMAGE, replace(LENIENT, min_area=5000, min_region=4))) == 0


@pytest.mark.parametrize("batch", [1, 5, 16, 64])
@pytest.mark.parametrize("at_once", [1, 5000, 2**24])
def test_batches_change_memory_and_nothing_else(
    discs: DiscSam, batch: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(LENIENT, max_overlap=0.7)
    whole = generate(discs, IMAGE, settings)
    monkeypatch.setattr(framing, "LOGITS_AT_ONCE", at_once)
    parts = generate(discs, IMAGE, replace(settings, points_per_batch=batch))
    assert np.array_equal(parts.masks(), whole.masks())
    assert np.array_equal(parts.points_N2, whole.points_N2)


def test_nobody_clicks_where_there_is_no_data(discs: DiscSam) -> None:
    valid = np.ones((64, 64), np.bool_)
    valid[:, 30:] = False
    found = generate(discs, IMAGE, LENIENT, valid_HW=valid)
    assert discs.asked == [8]
    assert not found.masks()[:, ~valid].any()
    assert found.boxes_N4[:, 2].max() == 30
    assert len(generate(discs, IMAGE, LENIENT, valid_HW=np.zeros_like(valid))) == 0
    assert len(discs.encoded) == 1  # an image without data costs nothing
    with pytest.raises(InputError, match="valid_HW"):
        generate(discs, IMAGE, LENIENT, valid_HW=valid[:5])


@pytest.mark.parametrize("fit", [Fit(), Fit(square=False), Fit(longest_side=96)])
def test_any_bands_at_any_size(discs: DiscSam, fit: Fit) -> None:
    discs.anatomy = replace(discs.anatomy, bands=7)
    found = generate(discs, torch.zeros(7, 40, 90), replace(LENIENT, min_area=4), fit=fit)
    assert found.size == (40, 90)
    assert discs.encoded[0][1] == 7
    assert len(found) == 48


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("size", [(64, 64), (97, 130), (300, 77)])
def test_crops_and_clicks_lie_where_transformers_puts_them(discs: DiscSam, size: tuple[int, int], layers: int) -> None:
    boxes, points, _, _ = SamImageProcessor().generate_crop_boxes(
        np.zeros((*size, 3), np.uint8), max(size), crop_n_layers=layers, points_per_crop=5
    )
    settings = replace(LENIENT, crop_layers=layers, points_per_side=5)
    assert [[c.x0, c.y0, c.x1, c.y1] for c in plan_crops(size, settings)] == np.asarray(boxes).tolist()
    clicked = generate(discs, torch.zeros(3, *size), replace(settings, crop_layers=0)).points_N2
    assert np.allclose(np.unique(clicked, axis=0), np.unique(np.asarray(points)[0, :, 0], axis=0), atol=1e-4)


def test_inner_layers_may_have_fewer_clicks() -> None:
    crops = plan_crops((64, 64), AutomaticSettings(points_per_side=16, crop_layers=2, crop_thinning=4))
    assert [crop.points_per_side for crop in crops] == [16] + [4] * 4 + [1] * 16


def test_an_image_of_a_few_pixels_has_no_empty_crops(discs: DiscSam) -> None:
    crops = plan_crops((3, 2), AutomaticSettings(crop_layers=3))
    assert all(0 <= c.x0 < c.x1 <= 2 and 0 <= c.y0 < c.y1 <= 3 for c in crops)
    assert len(generate(discs, torch.zeros(3, 3, 2), replace(LENIENT, crop_layers=3)))


def test_crops_find_smaller_things_in_the_right_place(discs: DiscSam) -> None:
    settings = replace(LENIENT, crop_layers=1, crop_margin=2)
    found = generate(discs, IMAGE, settings)
    assert len(discs.encoded) == 5
    assert discs.encoded[1][-2:] == (64, 64)  # a crop is enlarged to the trained size
    y, x = np.mgrid[:64, :64] + 0.5
    small = found.take(np.flatnonzero(np.isclose(found.scores_N, 0.95)))
    radii = {round(np.sqrt(area / np.pi), 0) for area in small.areas_N.tolist()}
    assert min(radii) < RADII[0] <= max(radii)
    for index, (px, py) in enumerate(small.points_N2):
        mask = small.mask(index)
        assert abs(x[mask].mean() - px) < 1
        assert abs(y[mask].mean() - py) < 1
    filling = np.isclose(found.scores_N, 0.2)
    assert filling.sum() == 16  # from the whole image; what fills a crop was cut off by it
    assert (found.boxes_N4[filling] == [0, 0, 64, 64]).all()


def test_stability_is_the_share_of_the_lax_mask_that_is_strict() -> None:
    logits = torch.tensor([[[-3.0, -0.5, 0.5, 3.0]], [[2.0, 2.0, 2.0, -2.0]], [[-9.0, -9.0, -9.0, -9.0]]])
    assert stability(logits, 1.0)[:2].tolist() == pytest.approx([1 / 3, 1.0])
    assert stability(logits, 0.0)[0].item() == 1.0
    assert stability(logits, 1.0)[2].isnan()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points_per_side": 0}, "points_per_side must be at least 1, found 0"),
        ({"points_per_batch": -1}, "points_per_batch must be at least 1"),
        ({"min_iou": 88}, "min_iou must lie between 0 and 1, found 88"),
        ({"crop_overlap": -0.1}, "crop_overlap must lie between"),
        ({"min_region": -1}, "min_region must be at least 0"),
        ({"points_per_side": 2.5}, "points_per_side must be a whole number, found 2.5"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AutomaticSettings(**changes)


@pytest.fixture(scope="module")
def nano() -> Sam:
    return load_sam("nano")


@pytest.fixture(scope="module")
def their_pipeline(nano: Sam) -> Callable[..., dict[str, Any]]:
    """transformers' mask generation with the weights of nano."""
    twin = SamModel(transformers_config(nano.anatomy))
    twin.load_state_dict(nano.state_dict())
    side = nano.anatomy.image_size
    processor = SamImageProcessor(size={"longest_edge": side}, pad_size={"height": side, "width": side})
    run: Callable[..., dict[str, Any]] = pipeline("mask-generation", model=twin.eval(), image_processor=processor)
    return run


@pytest.mark.slow
@pytest.mark.parametrize(("size", "layers"), [((128, 128), 0), ((128, 192), 0), ((256, 200), 0), ((100, 90), 1)])
def test_masks_are_those_of_transformers(
    nano: Sam, their_pipeline: Callable[..., dict[str, Any]], size: tuple[int, int], layers: int
) -> None:
    image = make_scene(7, 1, size).image_HW3.copy()
    options = {"points_per_crop": 8, "pred_iou_thresh": 0.2, "stability_score_thresh": 0.2, "crops_n_layers": layers}
    try:
        theirs = their_pipeline(Image.fromarray(image), **options)
    except ValueError as mistake:
        if layers and "batch size of the image embeddings" in str(mistake):
            pytest.skip("this release of transformers does not get through its own crops")
        raise
    settings = AutomaticSettings(points_per_side=8, min_iou=0.2, min_stability=0.2, crop_layers=layers)
    found = generate(nano, torch.from_numpy(image).permute(2, 0, 1), settings)
    masks = np.stack([np.asarray(mask) for mask in theirs["masks"]])
    both = np.einsum("nhw,mhw->nm", found.masks().astype(np.float32), masks.astype(np.float32))
    iou = both / (found.areas_N[:, None] + masks.sum((1, 2)) - both)
    print(f"{len(found)} masks, {len(masks)} of transformers, mean IoU of matched masks {iou.max(1).mean():.5f}")
    assert len(found) == len(masks) >= 3
    assert iou.max(1).mean() > 0.99
    assert iou.max(0).mean() > 0.99
    assert np.allclose(found.scores_N, np.sort(np.asarray(theirs["scores"]))[::-1], atol=1e-4)
