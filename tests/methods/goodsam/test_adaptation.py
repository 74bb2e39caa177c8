"""What the student is drawn to: zero at the goal, nothing from ignored pixels, features in the right cells."""

import pytest
import torch

from sensam.data.lens import PanoramaLens
from sensam.data.panorama import plan_crops
from sensam.methods.goodsam.adaptation import Projectors, ensemble_loss, window_loss
from sensam.nn.segformer import build_segformer


def test_zero_exactly_where_student_and_ensemble_are_one() -> None:
    logits = torch.randn(2, 4, 6, 8)
    everywhere = torch.ones(2, 6, 8)
    assert ensemble_loss(logits, logits.softmax(1), everywhere).item() == pytest.approx(0, abs=1e-6)
    assert ensemble_loss(logits, logits.roll(1, 1).softmax(1), everywhere).item() > 0.01
    certain = torch.nn.functional.one_hot(torch.randint(0, 4, (2, 6, 8)), 4).movedim(-1, 1).float()
    assert ensemble_loss(60 * certain, certain, everywhere).item() == pytest.approx(0, abs=1e-6)


def test_ignored_pixels_say_nothing() -> None:
    logits = torch.randn(1, 4, 6, 8, requires_grad=True)
    target = torch.randn(1, 4, 6, 8).softmax(1)
    weight = torch.rand(1, 6, 8) * (torch.arange(8) < 5)
    ensemble_loss(logits, target, weight).backward()
    assert logits.grad is not None
    assert (logits.grad[..., 5:] == 0).all()
    assert (logits.grad[..., :5].abs().sum(1) > 0).all()
    changed = target.clone()
    changed[..., 5:] = changed[..., 5:].roll(1, 1)
    assert torch.equal(ensemble_loss(logits, target, weight), ensemble_loss(logits, changed, weight))
    assert ensemble_loss(logits, target, weight * 0).item() == 0


def test_windows_with_a_temperature() -> None:
    answers = torch.randn(1, 3, 4, 6, 6)
    valid = torch.ones(1, 3, 6, 6, dtype=torch.bool)
    for temperature in (1.0, 3.0):
        assert window_loss(answers, answers, valid, temperature=temperature).item() == pytest.approx(0, abs=1e-6)
        assert window_loss(answers.roll(1, 2), answers, valid, temperature=temperature).item() > 0.1
    half = valid.clone()
    half[..., 3:] = False
    other = answers.clone()
    other[..., 3:] += torch.randn(6, 3)
    assert window_loss(other, answers, half).item() == pytest.approx(0, abs=1e-6)


def test_features_count_by_direction_only() -> None:
    plan = plan_crops(PanoramaLens((32, 128)), columns=2, rows=1, overlap=0.0)
    ours = tuple(torch.randn(1, 4, 32 // stride, 128 // stride) for stride in (4, 8, 16, 32))
    theirs = tuple(torch.randn(2, 6, 32 // stride, 64 // stride) for stride in (4, 8, 16, 32))
    projectors = Projectors((4,) * 4, (6,) * 4)
    plain = projectors(ours, theirs, plan).item()
    assert plain > 0.5
    for scaled in (
        projectors(tuple(5 * level for level in ours), theirs, plan),
        projectors(ours, tuple(level / 7 for level in theirs), plan),
    ):
        assert scaled.item() == pytest.approx(plain, abs=1e-5)


def test_no_gradient_reaches_the_assistants_features() -> None:
    plan = plan_crops(PanoramaLens((32, 64)), columns=1, rows=1, overlap=0.36)
    ours = tuple(torch.randn(1, 4, 32 // stride, 64 // stride) for stride in (4, 8, 16, 32))
    theirs = tuple(torch.randn(1, 4, 32 // s, 64 // s, requires_grad=True) for s in (4, 8, 16, 32))
    Projectors((4,) * 4, (4,) * 4)(ours, theirs, plan).backward()
    assert all(level.grad is None for level in theirs)


def test_a_window_is_cropped_exactly_where_cells_meet_and_across_the_seam() -> None:
    plan = plan_crops(
        PanoramaLens((32, 256)), columns=4, rows=1, overlap=0.2
    )  # lefts 0, 64, 128, 192: multiples of every stride
    level = torch.arange(4 * 16, dtype=torch.float32).view(1, 1, 4, 16)
    crops = plan.cut_level(level, 16)
    assert crops.shape == (1, 4, 1, 2, 5)
    assert torch.equal(crops[0, 1, 0], level[0, 0, :2, 4:9])
    assert torch.equal(crops[0, 3, 0, 0], level[0, 0, 0, [12, 13, 14, 15, 0]])


def test_between_cells_it_is_interpolated() -> None:
    plan = plan_crops(PanoramaLens((32, 96)), columns=3, rows=1, overlap=0.0)  # lefts 0, 32, 64
    ramp = torch.arange(2.0)[:, None] + torch.arange(3.0)
    crop = plan.cut_level(ramp[None, None], 64)  # cells of 64 pixels: the second window begins in the middle of one
    assert crop[0, 1, 0, 0, 0].item() == pytest.approx(0.5)


def test_the_students_cells_line_up_with_the_assistants() -> None:
    """Both are the same network here: what it sees of a window agrees, away from the frame, with what it sees there
    in the panorama; one cell further it does not."""
    torch.manual_seed(3)
    net = build_segformer("b0", bands=3, classes=2, head=8).eval()
    plan = plan_crops(PanoramaLens((64, 256)), columns=4, rows=1, overlap=0.34)
    image = torch.nn.functional.interpolate(torch.randn(1, 3, 16, 64), (64, 256), mode="bilinear")
    with torch.no_grad():
        ours = net.analyse(image)[1][0]
        theirs = net.analyse(plan.cut(image)[0])[1][0]
    inner = (..., slice(4, 12), slice(6, 16))

    def apart(level: torch.Tensor) -> float:
        crops = plan.cut_level(level, 4)[0]
        return (1 - torch.nn.functional.cosine_similarity(crops[inner], theirs[inner], dim=1)).mean().item()

    assert apart(ours) < 0.8 * min(apart(ours.roll(1, -1)), apart(ours.roll(-1, -1)))
