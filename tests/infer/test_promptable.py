"""The predictor equals transformers end to end, keeps no state, and says what is wrong with a prompt."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import SamModel, SamProcessor

import sensam.infer.promptable as promptable
import sensam.sam.framing as framing
from sensam.data.raster import Raster
from sensam.errors import InputError, SettingsError
from sensam.infer.promptable import Predictor
from sensam.sam.automatic import AutomaticSettings
from sensam.sam.framing import Frame
from sensam.sam.model import Sam
from sensam.sensors import Sensor

Photo = NDArray[np.uint8]
POINTS = [[[10.0, 12.0], [30.0, 20.0]], [[70.0, 40.0], [5.0, 5.0]]]
LABELS = [[1, 0], [1, 1]]
BOXES = [[5.0, 5.0, 40.0, 45.0], [50.5, 1.0, 90.0, 49.0]]


@pytest.fixture
def predictor(sam: Sam, photo: Photo) -> Predictor:
    ours = Predictor(sam)
    ours.set_image(photo)
    return ours


def five_bands(**changes: float) -> Sensor:
    bands = [{"name": f"B{i}", "mean": 10.0 * i, "std": 2.0 + i, **changes} for i in range(5)]
    return Sensor.from_dict({"name": "five", "bands": bands})


def raster(seed: int = 0) -> Raster:
    pixels = np.random.default_rng(seed).normal(20, 15, (5, 40, 56)).astype(np.float32)
    return Raster(pixels, np.ones(pixels.shape, np.bool_), tuple(f"B{i}" for i in range(5)))


def ask_theirs(
    model: SamModel, processor: SamProcessor, photo: Photo, multimask: bool, **prompts: Any
) -> tuple[torch.Tensor, ...]:
    """Logits at native resolution, scores, and low-resolution logits."""
    masks = prompts.pop("input_masks", None)
    inputs = processor(images=photo, return_tensors="pt", **{k: [v] for k, v in prompts.items()})
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    floats = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
    with torch.no_grad():
        out = model(**floats, input_masks=masks, multimask_output=multimask)
    native = processor.post_process_masks(out.pred_masks, *sizes, binarize=False)[0]
    return native, out.iou_scores[0], out.pred_masks[0]


@pytest.mark.parametrize("shape", [(50, 90), (90, 50), (64, 64), (33, 20), (150, 101)])
@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", ["points", "boxes", "both"])
def test_equals_transformers(
    theirs: SamModel,
    processor: SamProcessor,
    sam: Sam,
    photo: Photo,
    shape: tuple[int, int],
    multimask: bool,
    kind: str,
) -> None:
    photo = np.resize(photo, (*shape, 3))
    scale = np.array([shape[1] / 90, shape[0] / 50])
    mine: dict[str, Any] = {}
    other: dict[str, Any] = {}
    if kind != "boxes":
        points = (np.array(POINTS) * scale).tolist()
        mine |= {"points": points, "labels": LABELS}
        other |= {"input_points": points, "input_labels": LABELS}
    if kind != "points":
        mine["boxes"] = (np.array(BOXES) * np.tile(scale, 2)).tolist()
        other["input_boxes"] = mine["boxes"]
    native, scores, logits = ask_theirs(theirs, processor, photo, multimask, **other)
    predictor = Predictor(sam)
    predictor.set_image(photo)
    ours = predictor.predict(**mine, multimask=multimask)
    torch.testing.assert_close(ours.low_res_logits_NMhw, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.scores_NM, scores, atol=1e-4, rtol=0)
    assert ours.masks_NMHW.shape == (2, 3 if multimask else 1, *shape)
    clear = native.abs() > 1e-4
    assert clear.float().mean() > 0.99
    assert torch.equal(ours.masks_NMHW[clear], native[clear] > 0)


def test_mask_prompts_equal_transformers(
    theirs: SamModel, processor: SamProcessor, predictor: Predictor, photo: Photo
) -> None:
    first = predictor.predict([30.0, 20.0]).best()
    native, scores, _ = ask_theirs(
        theirs,
        processor,
        photo,
        True,
        input_points=[[[30.0, 20.0]]],
        input_labels=[[1]],
        input_masks=first.low_res_logits_NMhw,
    )
    again = predictor.predict([30.0, 20.0], masks=first.low_res_logits_NMhw)
    torch.testing.assert_close(again.scores_NM, scores, atol=1e-4, rtol=0)
    clear = native.abs() > 1e-4
    assert torch.equal(again.masks_NMHW[clear], native[clear] > 0)
    assert not torch.equal(again.low_res_logits_NMhw, predictor.predict([30.0, 20.0]).low_res_logits_NMhw)


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_a_batch_of_prompts_equals_single_ones(
    predictor: Predictor, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promptable, "PROMPTS_AT_ONCE", at_once)
    points = np.random.default_rng(0).uniform(0, 50, (5, 2, 2))
    masks = torch.randn(5, 32, 32, generator=torch.Generator().manual_seed(0))
    together = predictor.predict(points, masks=masks)
    for index in range(5):
        alone = predictor.predict(points[index], masks=masks[index])
        torch.testing.assert_close(together.scores_NM[index], alone.scores_NM[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(together.low_res_logits_NMhw[index], alone.low_res_logits_NMhw[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_few_masks_at_a_time_are_as_large_as_the_image_in_floats(
    predictor: Predictor, photo: Photo, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = predictor.predict(boxes=BOXES + BOXES)
    sizes = []
    original = Frame.restore

    def watch(frame: Frame, sam: Sam, logits_NMhw: torch.Tensor) -> torch.Tensor:
        sizes.append(logits_NMhw.shape[0] * logits_NMhw.shape[1])
        return original(frame, sam, logits_NMhw)

    monkeypatch.setattr(Frame, "restore", watch)
    encoded = predictor._current()[2].frame.encoded
    monkeypatch.setattr(framing, "LOGITS_AT_ONCE", at_once * max(math.prod(encoded), math.prod(photo.shape[:2])))
    assert torch.equal(predictor.predict(boxes=BOXES + BOXES).masks_NMHW, together.masks_NMHW)
    assert max(sizes) <= max(at_once, 3)  # the three masks of one prompt stay together
    assert sum(sizes) == 12


def test_the_image_before_leaves_no_trace(sam: Sam, photo: Photo) -> None:
    used, fresh = Predictor(sam), Predictor(sam)
    used.set_image(photo[:, ::-1].copy())
    used.predict([30.0, 20.0])
    used.set_image(photo)
    fresh.set_image(photo)
    assert torch.equal(used.predict([30.0, 20.0]).low_res_logits_NMhw, fresh.predict([30.0, 20.0]).low_res_logits_NMhw)


def test_a_refused_image_leaves_none(predictor: Predictor, photo: Photo) -> None:
    with pytest.raises(InputError):
        predictor.set_image(photo[..., :2])
    with pytest.raises(InputError, match="set_image"):
        predictor.predict([30.0, 20.0])


def test_the_encoder_runs_once_an_image(sam: Sam, photo: Photo) -> None:
    runs: list[int] = []
    handle = sam.vision_encoder.register_forward_hook(lambda *_: runs.append(1))
    predictor = Predictor(sam)
    predictor.set_image(photo)
    for box in BOXES:
        predictor.predict(boxes=box)
    handle.remove()
    assert len(runs) == 1


def test_one_click_in_every_spelling(predictor: Predictor) -> None:
    click = predictor.predict([30.0, 20.0])
    for same in ([[30, 20]], [[[30, 20]]], np.array([30, 20]), torch.tensor([[30.0, 20.0]])):
        assert torch.equal(predictor.predict(same).low_res_logits_NMhw, click.low_res_logits_NMhw)
    assert torch.equal(predictor.predict([30, 20], 1).scores_NM, click.scores_NM)
    assert not torch.equal(predictor.predict([30, 20], 0).scores_NM, click.scores_NM)


def test_best_is_the_highest_score(predictor: Predictor) -> None:
    found = predictor.predict(POINTS, LABELS)
    best = found.best()
    assert torch.equal(best.scores_NM[:, 0], found.scores_NM.max(1).values)
    for n, m in enumerate(found.scores_NM.argmax(1).tolist()):
        assert torch.equal(best.masks_NMHW[n, 0], found.masks_NMHW[n, m])
        assert torch.equal(best.low_res_logits_NMhw[n, 0], found.low_res_logits_NMhw[n, m])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(theirs: SamModel, sam: Sam, photo: Photo, dtype: torch.dtype) -> None:
    half = Sam(sam.anatomy)
    half.load_state_dict(theirs.state_dict())
    predictor, exact = Predictor(half.to(dtype)), Predictor(sam)
    predictor.set_image(photo)
    exact.set_image(photo)
    masks = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found, wanted = (p.predict(POINTS, LABELS, BOXES, masks) for p in (predictor, exact))
    assert found.low_res_logits_NMhw.dtype == found.scores_NM.dtype == torch.float32
    assert (found.masks_NMHW == wanted.masks_NMHW).float().mean() > 0.9


@pytest.mark.parametrize(
    ("options", "encoded"),
    [
        ({}, (64, 64)),
        ({"square": False}, (36, 64)),
        ({"longest_side": 48}, (48, 48)),
        ({"longest_side": 96, "square": False}, (53, 96)),
        ({"resize": False}, (90, 90)),
        ({"resize": False, "square": False}, (50, 90)),
    ],
)
def test_options_decide_what_the_encoder_sees(
    sam: Sam, photo: Photo, options: dict[str, Any], encoded: tuple[int, int]
) -> None:
    seen: list[torch.Tensor] = []
    handle = sam.vision_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    predictor = Predictor(sam, **options)
    predictor.set_image(photo)
    handle.remove()
    assert seen[0].shape == (1, 3, *encoded)
    found = predictor.predict([[[89.9, 49.9]]], boxes=[[0, 0, 90, 50]])
    assert found.masks_NMHW.shape == (1, 3, 50, 90)
    predictor.predict([30.0, 20.0], masks=found.best().low_res_logits_NMhw)


def test_padding_is_all_that_square_adds(sam: Sam, photo: Photo) -> None:
    padded, bare = Predictor(sam), Predictor(sam, square=False)
    for predictor in (padded, bare):
        predictor.set_image(photo[:, :50])
    assert torch.equal(padded.predict([30, 20]).low_res_logits_NMhw, bare.predict([30, 20]).low_res_logits_NMhw)


def test_any_bands_with_a_sensor(sam5: Sam) -> None:
    scene = raster()
    predictor = Predictor(sam5, five_bands())
    predictor.set_image(scene)
    by_raster = predictor.predict([30.0, 20.0])
    predictor.set_image(scene.pixels_CHW.transpose(1, 2, 0))
    assert torch.equal(predictor.predict([30.0, 20.0]).low_res_logits_NMhw, by_raster.low_res_logits_NMhw)
    plain = Predictor(sam5)
    plain.set_image(torch.from_numpy(five_bands().normalise(scene)))
    assert torch.equal(plain.predict([30.0, 20.0]).low_res_logits_NMhw, by_raster.low_res_logits_NMhw)


def test_what_stands_where_there_is_no_data_does_not_matter(sam5: Sam) -> None:
    scene = raster()
    scene.valid_CHW[:, :15, 10:30] = False
    scene.valid_CHW[2, 30:, 40:] = False
    predictor = Predictor(sam5, five_bands())
    found = []
    for junk in (0.0, -9999.0, np.nan, np.inf):
        scene.pixels_CHW[~scene.valid_CHW] = junk
        predictor.set_image(scene)
        found.append(predictor.predict([[20.0, 5.0], [35.0, 20.0]], [0, 1]))
    assert all(torch.equal(one.low_res_logits_NMhw, found[0].low_res_logits_NMhw) for one in found)
    valid = torch.from_numpy(scene.valid_HW)
    assert not found[0].masks_NMHW[..., ~valid].any()
    assert found[0].masks_NMHW.any()


@pytest.mark.parametrize("empty", [slice(None), 2], ids=["every band", "one band"])
def test_an_image_without_a_valid_pixel_is_refused(sam5: Sam, empty: slice | int) -> None:
    pixels = raster().pixels_CHW
    pixels[empty] = np.nan
    predictor = Predictor(sam5, five_bands())
    with pytest.raises(InputError, match="No pixel of the image is valid"):
        predictor.set_image(torch.from_numpy(pixels))
    with pytest.raises(InputError, match="set_image"):
        predictor.predict([30.0, 20.0])


def test_prompts_that_learn_are_read_like_others(predictor: Predictor) -> None:
    click = predictor.predict(torch.tensor([30.0, 20.0], requires_grad=True))
    assert torch.equal(click.low_res_logits_NMhw, predictor.predict([30.0, 20.0]).low_res_logits_NMhw)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_prompts_may_lie_on_a_gpu(predictor: Predictor) -> None:
    asked = (POINTS, LABELS, BOXES)
    found = predictor.predict(*(torch.tensor(each, device="cuda") for each in asked))
    assert torch.equal(found.low_res_logits_NMhw, predictor.predict(*asked).low_res_logits_NMhw)


def test_everything_respects_options_and_valid_pixels(sam5: Sam) -> None:
    scene = raster()
    scene.valid_CHW[:, :, 40:] = False
    predictor = Predictor(sam5, five_bands(), square=False)
    predictor.set_image(scene)
    settings = AutomaticSettings(points_per_side=6, min_iou=0.0, min_stability=0.0, max_overlap=1.0)
    regions = predictor.everything(settings)
    assert len(regions)
    assert regions.size == (40, 56)
    assert not regions.masks()[:, :, 40:].any()
    assert (regions.points_N2[:, 0] < 40).all()


def test_sizes_that_contradict(sam: Sam) -> None:
    with pytest.raises(SettingsError, match="no effect with resize=False"):
        Predictor(sam, longest_side=32, resize=False)
    with pytest.raises(InputError, match="Sensor five has 5 bands, the encoder takes 3"):
        Predictor(sam, five_bands())
