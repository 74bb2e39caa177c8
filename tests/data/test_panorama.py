"""Windows over panoramas: nothing left out, the seam crossed, merging exact, the sphere's area in steradians."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.lens import FlatLens, PanoramaLens, latitudes, solid_angle
from sensam.data.panorama import plan_crops
from sensam.errors import InputError, SettingsError


def test_the_usual_plan_on_the_usual_panorama() -> None:
    plan = plan_crops(PanoramaLens((400, 2048)), columns=8, rows=1, overlap=0.36)
    assert len(plan) == 8
    assert plan.shape == (400, 400)
    assert plan.lefts == tuple(range(0, 2048, 256))
    seen = torch.stack([plan.columns(left) for left in plan.lefts]).flatten()
    assert torch.equal(seen.unique(), torch.arange(2048))
    pairs = {(overlap.first, overlap.second): overlap for overlap in plan.overlaps()}
    assert set(pairs) == {(number, (number + 1) % 8) for number in range(8)}
    around = pairs[7, 0]
    assert around.in_first[1] == slice(256, 400)
    assert around.in_second[1] == slice(0, 144)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 40), st.integers(8, 90), st.integers(1, 8), st.integers(1, 4), st.floats(0, 0.6), st.booleans())
def test_any_plan_sees_every_pixel_and_gives_it_back(
    height: int, width: int, columns: int, rows: int, overlap: float, wraps: bool
) -> None:
    lens = PanoramaLens((height, width)) if wraps else FlatLens((height, width))
    plan = plan_crops(lens, columns=columns, rows=rows, overlap=overlap)
    image = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    windows = plan.cut(image)
    assert windows.shape == (1, len(plan), 1, *plan.shape)
    assert torch.allclose(plan.merge(windows), image, rtol=1e-6)
    for overlap_ in plan.overlaps():
        ours = windows[0, overlap_.first, 0][overlap_.in_first]
        assert torch.equal(ours, windows[0, overlap_.second, 0][overlap_.in_second]), "both see the same pixels"
        assert int(ours[0, 0]) // width == overlap_.top


def test_scattered_indices_come_back_exactly() -> None:
    plan = plan_crops(PanoramaLens((20, 64)), columns=4, rows=2, overlap=0.36)
    index = torch.arange(20 * 64).view(1, 1, 20, 64)
    back = torch.full((20, 64), -1)
    for window, (top, left) in zip(plan.cut(index)[0], plan.corners, strict=True):
        back[top : top + plan.shape[0]].index_copy_(-1, plan.columns(left), window[0])
    assert torch.equal(back, index[0, 0])


def test_merging_keeps_constants_and_sums_and_forgets_the_order() -> None:
    plan = plan_crops(PanoramaLens((12, 96)), columns=6, rows=2, overlap=0.36)
    constant = torch.tensor([0.5, 0.2, 0.3]).view(1, 1, 3, 1, 1).expand(2, len(plan), 3, *plan.shape)
    assert torch.allclose(plan.merge(constant), constant[:, :1, :, :1, :1][:, 0].expand(2, 3, 12, 96), atol=1e-6)
    probability = torch.randn(1, len(plan), 3, *plan.shape).softmax(2)
    merged = plan.merge(probability)
    assert (merged.sum(1) - 1).abs().max() < 1e-5
    order = torch.randperm(len(plan))
    shuffled = plan_crops(PanoramaLens((12, 96)), columns=6, rows=2, overlap=0.36)
    object.__setattr__(shuffled, "corners", tuple(plan.corners[number] for number in order))
    assert torch.allclose(shuffled.merge(probability[:, order]), merged, atol=1e-6)


def test_one_window_is_the_image_itself() -> None:
    plan = plan_crops(PanoramaLens((16, 40)), columns=1, rows=1, overlap=0.36)
    image = torch.randn(2, 3, 16, 40)
    assert torch.equal(plan.cut(image)[:, 0], image)
    assert torch.allclose(plan.merge(plan.cut(image)), image, atol=1e-6)
    assert list(plan.overlaps()) == []


def test_the_whole_sphere_is_four_pi() -> None:
    assert float(solid_angle((180, 360)).sum() * 360) == pytest.approx(4 * math.pi, rel=1e-9)
    belt = solid_angle((400, 2048))
    assert float(belt.max() / belt.min()) == pytest.approx(1.22, abs=0.01)
    cosine = latitudes((400, 2048)).cos() * (2 * math.pi / 2048) ** 2
    assert torch.allclose(belt, cosine, rtol=1e-4), "a pixel is its angle squared times the cosine of its latitude"
    assert math.degrees(float(latitudes((400, 2048))[0])) == pytest.approx(35.07, abs=0.05)


def test_what_cannot_be_planned() -> None:
    with pytest.raises(SettingsError, match="make no sense"):
        plan_crops(PanoramaLens((10, 20)), columns=8, rows=1, overlap=1.0)
    with pytest.raises(InputError, match="do not fit"):
        plan_crops(PanoramaLens((10, 4)), columns=8, rows=1, overlap=0.36)
    with pytest.raises(InputError, match="Plan windows anew"):
        plan_crops(PanoramaLens((10, 20)), columns=2, rows=1, overlap=0.36).cut(torch.zeros(1, 1, 10, 30))
