"""Gnomonic windows and fisheyes inside the method: every loss works on views, and nothing beyond a circle teaches."""

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sensam.data.coverage import plan_tangents
from sensam.data.lens import FisheyeLens, PanoramaLens
from sensam.data.tangent import TangentPlan
from sensam.errors import InputError, SettingsError
from sensam.methods.base import Moment, Task
from sensam.methods.goodsam.adaptation import STRIDES, Projectors
from sensam.methods.goodsam.consistency import consistency_loss
from sensam.methods.goodsam.method import GoodSam, _cut_views
from sensam.methods.goodsam.settings import GoodSamConfig, WindowSettings
from sensam.methods.goodsam.sight import plan_for
from sensam.types import Batch
from tests.methods.goodsam.conftest import CLASSES, Blurred
from tests.methods.goodsam.test_method import batch_of, step

Make = Callable[..., GoodSamConfig]
GNOMONIC = {"kind": "gnomonic", "fov_deg": 90}
MOMENT = Moment(0, 0, 0, range(1))
PANORAMA, FISHEYE = (32, 144), (72, 72)
SHAPES = {"equirectangular": PANORAMA, "fisheye": FISHEYE}
shapes = pytest.mark.parametrize("geometry", SHAPES)


def at_random(plan: TangentPlan) -> Tensor:
    return torch.randn(1, len(plan), 3, *plan.shape).softmax(2)


def test_consistency_of_views_is_zero_where_they_agree_and_bounded() -> None:
    plan = plan_tangents(PanoramaLens(PANORAMA))
    constant = torch.tensor([0.7, 0.2, 0.1]).view(1, 1, 3, 1, 1).expand(1, len(plan), 3, *plan.shape)
    assert float(consistency_loss(constant, plan)) == pytest.approx(0, abs=1e-6)
    assert 0.01 < float(consistency_loss(at_random(plan), plan)) < math.log(2)
    certain = torch.zeros(1, len(plan), 2, *plan.shape)
    certain[:, 0::2, 0] = certain[:, 1::2, 1] = 1
    above = TangentPlan(plan.lens, plan.looks[: plan.columns], plan.columns)
    assert float(consistency_loss(certain[:, : len(above)], above)) == pytest.approx(math.log(2), abs=1e-5)


def test_views_on_both_sides_of_the_seam_are_neighbours() -> None:
    plan = plan_tangents(PanoramaLens((16, 160)), overlap=0.2)
    prob = plan.cut(torch.full((1, 2, 16, 160), 0.5))
    changed = prob.clone()
    changed[:, -1, :, :, -4:] = torch.tensor([0.9, 0.1])[:, None, None]  # what the last view shares with the first
    assert float(consistency_loss(prob, plan)) == pytest.approx(0, abs=1e-6)
    whole = float(consistency_loss(changed, plan))
    assert whole > 1e-4
    pairs = [(shared.first, shared.second) for shared in plan.overlaps()]
    assert pairs[-1] == (len(plan) - 1, 0)
    valid = torch.ones(1, len(plan), *plan.shape, dtype=torch.bool)
    valid[:, 0] = False  # one side is enough: there is nothing to compare
    assert float(consistency_loss(changed, plan, valid_BKhw=valid)) < 0.01 * whole


def test_turning_by_a_view_rolls_the_answer(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config(distil={"features": 0}, windows=GNOMONIC), assistant=Blurred()).eval()
    plan = plan_tangents(PanoramaLens(PANORAMA), fov_deg=90, columns=8)
    image = batch_of(size=PANORAMA).image_BCHW

    def merged(shown: Tensor) -> Tensor:
        with torch.no_grad():
            return plan.merge(method.source(plan.cut(shown)[0]).softmax(1)[None])

    assert (merged(image.roll(18, -1)) - merged(image).roll(18, -1)).abs().max() <= 1e-3
    other = merged(image.roll(7, -1)).argmax(1) == merged(image).roll(7, -1).argmax(1)
    assert other.float().mean() >= 0.9


@pytest.mark.slow
@shapes
def test_every_stage_learns_from_views(make_task: Callable[..., Task], make_config: Make, geometry: str) -> None:
    config = make_config(windows=GNOMONIC, distil={"student_on_windows": 0.5}, rectify={"radius": 20})
    method = GoodSam(make_task(geometry=geometry), config)
    batch = batch_of(size=SHAPES[geometry])
    (rectified,) = step(method, method.stages[1], batch)
    assert {"consistency", "label", "edge", "anchor"} <= rectified.keys()
    assert rectified["consistency"].item() > 0
    found = step(method, method.stages[2], batch, steps=3)
    assert {"ensemble", "windows", "features", "student_on_windows"} <= found[0].keys()
    assert all(torch.isfinite(value) for log in (rectified, *found) for value in log.values())
    assert [log["cached"].item() for log in found] == [0, 1, 1]


@pytest.mark.slow
@shapes
def test_the_ensemble_of_views(make_task: Callable[..., Task], make_config: Make, geometry: str) -> None:
    settings = {"distil": {"features": 0}, "windows": GNOMONIC, "assistant": "given:elsewhere"}
    batch = batch_of(size=SHAPES[geometry])
    found = {}
    for strength in (0.0, 0.9):
        fusion = {"strength": strength, "min_purity": 0.0, "dominance": 0.1}
        config = make_config(**settings, fusion=fusion, rectify={"consistency": 0, "boundary": 0})
        method = GoodSam(make_task(geometry=geometry), config, assistant=Blurred()).eval()
        found[strength] = method.ensemble(batch.image_BCHW[0])
        assert method._knowledge.asked == int(strength > 0)
        assert (found[strength].prob_KHW.sum(0) - 1).abs().max() < 1e-5
    assert found[0.9].report.accepted > 0
    assert (found[0.9].prob_KHW - found[0.0].prob_KHW).abs().max() > 0.01, "masks of views were painted"
    mirrored = method.ensemble(batch.image_BCHW[0].flip(-1))
    assert mirrored.is_from_cache
    assert torch.equal(mirrored.prob_KHW.flip(-1), found[0.9].prob_KHW)


@pytest.mark.slow
def test_what_views_are_looked_at_is_in_the_key(make_task: Callable[..., Task], make_config: Make) -> None:
    image = batch_of(size=FISHEYE).image_BCHW[0]
    base = {"distil": {"features": 0}, "assistant": "given:elsewhere", "rectify": {"consistency": 0, "boundary": 0}}
    for windows in ({}, GNOMONIC, {"kind": "gnomonic", "fov_deg": 85}, {**GNOMONIC, "columns": 4}):
        method = GoodSam(make_task(geometry="fisheye"), make_config(**base, windows=windows), assistant=Blurred())
        assert not method.ensemble(image).is_from_cache, windows
        assert method.ensemble(image).is_from_cache
    keys = {lens: plan_tangents(lens).key for lens in (FisheyeLens(FISHEYE, 180), FisheyeLens(FISHEYE, 181))}
    assert len({repr(key) for key in keys.values()}) == 2


@pytest.mark.parametrize("windows", [{}, GNOMONIC], ids=["crop", "gnomonic"])
def test_beyond_the_circle_nothing_teaches(
    make_task: Callable[..., Task], make_config: Make, windows: dict[str, object]
) -> None:
    config = make_config(windows=windows, distil={"features": 0}, fusion={"min_confidence": 0.0})
    method = GoodSam(make_task(geometry="fisheye"), config, assistant=Blurred()).eval()
    batch = batch_of(size=FISHEYE)
    seen = method._see(batch)
    logits = torch.zeros(1, len(CLASSES), *FISHEYE, requires_grad=True)
    taught = method._distillation._from_ensemble(batch, seen, batch.image_BCHW, logits, None)
    taught |= method._distillation._from_windows(batch, seen, logits, ())
    circle = torch.from_numpy(FisheyeLens(FISHEYE, 180).camera.circle())
    for name in ("ensemble", "windows"):
        (slope,) = torch.autograd.grad(taught[name], logits, retain_graph=True)
        reach = slope.abs().sum(1)[0] > 0
        grown = torch.nn.functional.max_pool2d(circle[None].float(), 3, 1, 1)[0] > 0  # bilinear reaches a pixel over
        assert not reach[~(circle if name == "ensemble" else grown)].any(), name
        assert reach[circle].float().mean() > 0.9


@pytest.mark.parametrize("windows", [{}, GNOMONIC], ids=["crop", "gnomonic"])
def test_beyond_the_circle_no_feature_teaches(windows: dict[str, object]) -> None:
    plan = plan_for(FisheyeLens(FISHEYE, 180), WindowSettings.model_validate(windows))
    cells = [-(-72 // stride) for stride in STRIDES]
    ours = tuple(torch.randn(1, 4, side, side, requires_grad=True) for side in cells)
    theirs = tuple(torch.randn(len(plan), 4, *(-(-side // stride) for side in plan.shape)) for stride in STRIDES)
    Projectors((4,) * 4, (4,) * 4)(ours, theirs, plan).backward()
    assert ours[0].grad is not None
    reach = ours[0].grad.abs().sum(1)[0]
    assert not reach[[0, 0, 1, -1], [0, 1, 1, 0]].any()
    assert (reach[4:14, 4:14] > 0).all()


def test_pixels_of_a_fisheye_count_by_their_part_of_the_sphere(
    make_task: Callable[..., Task], make_config: Make
) -> None:
    config = make_config(windows={}, fusion={"min_confidence": 0.0, "strength": 0.0}, distil={"features": 0})
    method = GoodSam(make_task(geometry="fisheye"), config, assistant=Blurred()).eval()
    image = torch.zeros(1, len(CLASSES), *FISHEYE)  # the same answer everywhere, so that only areas differ
    batch = Batch(image, torch.ones(1, *FISHEYE, dtype=torch.bool), None, ("one",))
    logits = torch.zeros(1, len(CLASSES), *FISHEYE)
    logits[:, 0] = 1
    logits.requires_grad_()
    loss = method._distillation._from_ensemble(batch, method._see(batch), image, logits, None)["ensemble"]
    (slope,) = torch.autograd.grad(loss, logits)
    rim, middle = slope[0, 0, 36, 1].abs(), slope[0, 0, 36, 36].abs()
    assert float(rim / middle) == pytest.approx(math.sin(math.radians(86.25)) / math.radians(86.25), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("bands", [1, 4, 13])
def test_students_of_any_bands_learn_from_views_of_a_fisheye(
    make_task: Callable[..., Task], make_config: Make, bands: int
) -> None:
    task = make_task(bands=bands, classes=("a", "b"), geometry="fisheye")
    config = make_config(windows=GNOMONIC, distil={"features": 0}, thin=(), assistant="given:elsewhere")
    method = GoodSam(task, config, assistant=torch.nn.Conv2d(bands, 2, 1))
    batch = Batch(torch.randn(1, bands, *FISHEYE), torch.ones(1, *FISHEYE, dtype=torch.bool), None, ("one",))
    log = step(method, method.stages[-1], batch, steps=8, rate=3e-3)
    assert log[-1]["loss"] < log[0]["loss"]


@pytest.mark.slow
@shapes
def test_labelled_images_of_any_wide_lens_give_perspective_views(
    make_task: Callable[..., Task], make_config: Make, geometry: str
) -> None:
    method = GoodSam(make_task(geometry=geometry), make_config(cut_views=True))
    batch = batch_of(labels=True, size=SHAPES[geometry])
    (log,) = step(method, method.stages[0], batch)
    assert torch.isfinite(log["loss"])


def test_beyond_the_circle_labels_are_ignored() -> None:
    label = torch.ones(1, *FISHEYE, dtype=torch.int64)
    image, cut = _cut_views(label[:, None].float(), label, MOMENT, FisheyeLens(FISHEYE, 90), 255)
    assert image.shape[-2:] == cut.shape[-2:] == (56, 56)
    assert set(cut.unique().tolist()) == {1, 255}
    assert (cut[0, 20:36, 20:36] == 1).all()
    whole = _cut_views(label[:, None].float(), label, MOMENT, FisheyeLens(FISHEYE, 240), 255)[1]
    assert (whole == 1).all()


@pytest.mark.slow
def test_mistakes(make_task: Callable[..., Task], make_config: Make) -> None:
    def losses(geometry: str, size: tuple[int, int], stage: int = -1, **settings: object) -> None:
        method = GoodSam(make_task(geometry=geometry), make_config(**settings))
        method.stages[stage].loss(batch_of(size=size, labels=True), MOMENT)

    with pytest.raises(SettingsError, match=r"need to know where each pixel looks: .* or set windows\.kind to crop"):
        losses("perspective", (40, 60), windows=GNOMONIC)
    with pytest.raises(InputError, match="gives gnomonic windows of 20 pixels, but networks need 32"):
        losses("equirectangular", (32, 64), windows=GNOMONIC)
    with pytest.raises(SettingsError, match=r"2 x any number .* leave \d+ % of the image unseen"):
        losses("equirectangular", PANORAMA, windows={**GNOMONIC, "columns": 2})
    with pytest.raises(SettingsError, match="leave the method's cut_views out"):
        losses("perspective", (40, 60), stage=0, cut_views=True)
    with pytest.raises(ValidationError, match=r"fov_deg is of gnomonic windows; set windows\.kind to gnomonic"):
        WindowSettings(fov_deg=70)
    with pytest.raises(ValidationError, match="less than or equal to 90"):
        WindowSettings(kind="gnomonic", fov_deg=100)
