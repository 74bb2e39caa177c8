"""Tangent planes over panoramas and fisheyes: nothing left out, there and back, around the seam, merging exact."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sensam.data.coverage import plan_tangents
from sensam.data.lens import FisheyeLens, PanoramaLens, RoundLens
from sensam.data.panorama import plan_crops
from sensam.data.perspective import cut_view
from sensam.data.plan import Overlap, ViewPlan
from sensam.data.tangent import TangentPlan
from sensam.errors import InputError, SettingsError

BELT, SPHERE = PanoramaLens((70, 360)), PanoramaLens((96, 192))
FISHEYE, WIDE = FisheyeLens((96, 96), 180), FisheyeLens((80, 96), 200)
LENSES = [BELT, SPHERE, FISHEYE, WIDE]
NAMES = ["belt", "sphere", "fisheye", "wide and cut off"]
lenses = pytest.mark.parametrize("lens", LENSES, ids=NAMES)


def smooth(lens: RoundLens) -> Tensor:
    """A picture painted on the sphere, as the lens sees it."""
    x, y, z = lens.camera.rays()
    planes = [0.5 + 0.4 * np.sin(3 * x + 2 * y), 0.5 + 0.4 * np.cos(4 * z - y), 0.5 + 0.3 * np.sin(5 * x * z)]
    return torch.from_numpy(np.stack(planes).astype(np.float32))[None]


def pairs(plan: TangentPlan) -> dict[tuple[int, int], Overlap]:
    return {(shared.first, shared.second): shared for shared in plan.overlaps()}


@lenses
@pytest.mark.parametrize("fov_deg", [60, 70, 90])
def test_every_pixel_is_covered(lens: RoundLens, fov_deg: float) -> None:
    plan = plan_tangents(lens, fov_deg=fov_deg)
    rays, seen = lens.camera.rays(), lens.area_HW.numpy() > 0
    covered = np.any([look.covers(*look.camera.project(rays)) for look in plan.looks], axis=0)
    assert covered[seen].all()
    assert seen.mean() > 0.7
    side = 2 * np.tan(np.radians(fov_deg) / 2) / lens.camera.pixel_angle
    assert plan.shape == (round(side), round(side)), "as fine as the image in its middle"


@lenses
def test_there_and_back(lens: RoundLens) -> None:
    image, seen = smooth(lens), lens.area_HW > 0
    plan = plan_tangents(lens)
    back = plan.merge(plan.cut(image))
    error = ((back - image) ** 2)[..., seen].mean()
    assert -10 * torch.log10(error) >= 35
    lost = plan_tangents(lens).merge(plan.cut(image).flip(-1))
    assert -10 * torch.log10(((lost - image) ** 2)[..., seen].mean()) < 20, "mirrored views are not the image"


@lenses
def test_a_view_is_what_a_pinhole_there_sees(lens: RoundLens) -> None:
    plan = plan_tangents(lens, fov_deg=60)
    views = plan.cut(smooth(lens))
    for number, look in enumerate(plan.looks):
        x, y, _ = look.camera.rays()
        truth = torch.from_numpy(0.5 + 0.4 * np.sin(3 * x + 2 * y))
        shown = plan.areas_Vhw[number] > 0
        assert (views[0, number, 0] - truth)[shown].abs().max() < 0.05
    assert torch.equal(cut_view(smooth(lens), plan.looks[0], lens=lens), views[:, 0])


@lenses
def test_merging_keeps_constants_sums_and_forgets_the_order(lens: RoundLens) -> None:
    plan = plan_tangents(lens)
    constant = torch.tensor([0.5, 0.2, 0.3]).view(1, 1, 3, 1, 1).expand(2, len(plan), 3, *plan.shape)
    merged = plan.merge(constant)
    assert torch.allclose(merged, constant[:, 0, :, :1, :1].expand_as(merged), atol=1e-5)
    probability = torch.randn(1, len(plan), 3, *plan.shape).softmax(2)
    merged = plan.merge(probability)
    assert (merged.sum(1) - 1).abs().max() < 1e-5, "also beyond the circle of a fisheye"
    assert (merged >= 0).all()
    order = torch.randperm(len(plan)).tolist()
    shuffled = TangentPlan(plan.lens, tuple(plan.looks[number] for number in order), plan.columns)
    seen = lens.area_HW > 0
    assert torch.allclose(shuffled.merge(probability[:, order])[..., seen], merged[..., seen], atol=1e-5)


def test_few_rows_and_as_much_overlap_as_asked_for() -> None:
    narrow = plan_tangents(PanoramaLens((48, 360)))
    assert (narrow.columns, len(narrow)) == (8, 8), "36 % of 70 degrees shared with the next: one every 45"
    assert {look.pitch for look in narrow.looks} == {0.0}
    assert plan_tangents(PanoramaLens((48, 360)), overlap=0.5).columns == 10
    whole = plan_tangents(SPHERE)
    assert max(look.pitch for look in whole.looks) == pytest.approx(np.pi / 3), "three rows hold the sphere"
    fixed = plan_tangents(SPHERE, columns=9, rows=4)
    assert (fixed.columns, len(fixed)) == (9, 36)


def test_neighbours_around_the_seam_below_and_none_around_a_fisheye() -> None:
    plan = plan_tangents(SPHERE)
    across = plan.columns
    found = pairs(plan)
    for row in range(len(plan) // across):
        assert (row * across + across - 1, row * across) in found
    assert (0, across) in found
    fish = plan_tangents(FISHEYE)
    assert (fish.columns - 1, 0) not in pairs(fish)
    assert (0, 1) in pairs(fish)
    assert (0, fish.columns) in pairs(fish)


@lenses
def test_neighbours_see_the_same_places(lens: RoundLens) -> None:
    plan = plan_tangents(lens)
    views = plan.cut(smooth(lens))
    for shared in plan.overlaps():
        ours, theirs = shared.sides(views)
        assert ours.shape == theirs.shape == (1, 3, len(shared.area))
        assert (ours - theirs).abs().max() < 0.03
        assert (ours - theirs.roll(len(shared.area) // 3, -1)).abs().max() > 0.03
        assert (shared.area > 0).all()


def test_areas_of_views_are_parts_of_the_sphere() -> None:
    plan = plan_tangents(SPHERE, fov_deg=90)
    area = plan.areas_Vhw[plan.columns] / plan.looks[0].camera.focal_px ** 2  # a view on the horizon
    assert float(area.sum()) == pytest.approx(4 * np.pi / 6, rel=1e-3), "90 degrees each way are a side of the cube"
    fish = plan_tangents(FISHEYE)
    outer = fish.areas_Vhw[fish.columns]  # the leftmost view looks over the rim
    assert (outer == 0).any()
    assert (outer > 0).any()


def test_what_a_view_does_not_show_is_not_valid() -> None:
    plan = plan_tangents(FISHEYE)
    valid = torch.ones(1, 96, 96, dtype=torch.bool)
    assert torch.equal(plan.cut_valid(valid)[0], plan.areas_Vhw > 0)
    valid[:, :, 48:] = False
    middle = plan.cut_valid(valid)[0][plan.columns : 2 * plan.columns].flatten(1).any(1)
    assert middle[0]
    assert not middle[-1]


def test_features_lie_in_the_cells_of_their_views() -> None:
    plan = plan_tangents(SPHERE)
    image = smooth(SPHERE)
    level = image[..., ::4, ::4]  # cell i looks at pixel 4 i
    cells, views = plan.cut_level(level, 4), plan.cut(image)
    assert cells.shape[-1] == -(-plan.shape[1] // 4)
    inner = plan.areas_Vhw[:, ::4, ::4] > 0
    apart = (cells - views[..., ::4, ::4]).abs().mean(2)[0][inner]
    shifted = (cells.roll(1, -1) - views[..., ::4, ::4]).abs().mean(2)[0][inner]
    assert apart.mean() < 0.2 * shifted.mean()


def test_gradients_go_through_views_and_merging() -> None:
    plan = plan_tangents(FISHEYE)
    image = torch.rand(1, 2, 96, 96, requires_grad=True)
    plan.merge(plan.cut(image))[..., 48, 48].sum().backward()
    assert image.grad is not None
    assert image.grad[..., 46:51, 46:51].sum() == pytest.approx(2, abs=0.05)


@pytest.mark.slow  # torch takes its time to make the other device
@pytest.mark.parametrize(
    "plan", [plan_tangents(FISHEYE), plan_crops(SPHERE, columns=8, rows=1, overlap=0.36)], ids=["gnomonic", "crop"]
)
def test_views_are_cut_where_the_image_is(plan: ViewPlan) -> None:
    """On a device that is not this one; mixing devices is an error there."""
    height, width = plan.lens.size
    image = torch.zeros(1, 3, height, width, device="meta")
    assert plan.cut(image).shape == (1, len(plan), 3, *plan.shape)
    assert plan.cut_valid(image[:, 0] > 0).device.type == "meta"
    assert plan.cut_level(image[..., ::4, ::4], 4).device.type == "meta"
    assert plan.merge(plan.cut(image)).shape == image.shape
    for shared in plan.overlaps():
        assert shared.sides(plan.cut(image))[0].device.type == "meta"


def test_what_cannot_be_planned() -> None:
    with pytest.raises(SettingsError, match=r"4 x 1 .*leave \d+ % of the image unseen. Ask for more columns or rows"):
        plan_tangents(SPHERE, columns=4, rows=1)
    with pytest.raises(SettingsError, match="span 60 to 90 degrees, found 120"):
        plan_tangents(SPHERE, fov_deg=120)
    with pytest.raises(InputError, match="Plan views anew"):
        plan_tangents(FISHEYE).cut(torch.zeros(1, 1, 96, 90))
