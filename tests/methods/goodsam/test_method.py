"""GoodSAM as a whole: stages, what learns and what never does, caches that are hit, and one pass at the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from sensam.errors import InputError, SensamError, SettingsError
from sensam.methods.base import Moment, Stage, Task
from sensam.methods.goodsam.method import GoodSam
from sensam.methods.goodsam.settings import GoodSamConfig
from sensam.nn.surgery import freeze_all_but
from sensam.run.model import gives_answers
from sensam.sam.model import Sam
from sensam.types import Batch
from tests.methods.goodsam.conftest import CLASSES, Blurred, make_world
from tests.tiny_sam import TINY

Make = Callable[..., GoodSamConfig]
SMALL = (32, 96)


def batch_of(count: int = 1, bands: int = len(CLASSES), size: tuple[int, int] = SMALL, labels: bool = False) -> Batch:
    worlds = [make_world(seed, size) for seed in range(count)]
    image = torch.stack([world.image_CHW for world in worlds])[:, :bands]
    label = torch.stack([torch.from_numpy(world.label_HW) for world in worlds]) if labels else None
    valid = torch.ones(count, *size, dtype=torch.bool)
    return Batch(image, valid, label, tuple(map(str, range(count))))


def step(method: GoodSam, stage: Stage, batch: Batch, steps: int = 1, rate: float = 1e-3) -> list[dict[str, Tensor]]:
    """A few steps of the optimiser, as the stage declares them."""
    moving = freeze_all_but(method, stage.learns)
    method.train()
    groups = [{"params": [p], "lr": rate * moving[n]} for n, p in method.named_parameters() if n in moving]
    optimiser = torch.optim.AdamW(groups)
    log = []
    for number in range(steps):
        optimiser.zero_grad()
        losses = stage.loss(batch, Moment(0, 0, number, range(len(batch))))
        losses["loss"].backward()
        optimiser.step()
        log.append({name: value.detach() for name, value in losses.items()})
    return log


def weights(method: GoodSam, prefix: str) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in method.state_dict().items() if name.startswith(prefix)}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_stages_follow_from_the_settings(make_task: Callable[..., Task], make_config: Make) -> None:
    def names(**changes: object) -> list[str]:
        return [stage.name for stage in GoodSam(make_task(), make_config(**changes)).stages]

    assert names() == ["assistant", "rectify", "distil"]
    assert names(rectify={"consistency": 0, "boundary": 0}) == ["assistant", "distil"]
    assert names(joint=True) == ["assistant", "adapt"]
    method = GoodSam(make_task(), make_config(distil={"features": 0}), assistant=Blurred())
    config = make_config(assistant="given:elsewhere", distil={"features": 0})
    given = GoodSam(make_task(), config, assistant=Blurred())
    assert [stage.name for stage in given.stages] == ["rectify", "distil"]
    assert [stage.needs_labels for stage in method.stages] == [True, False, False]
    assert [stage.judged_by for stage in method.stages] == ["loss"] * 3
    assert not hasattr(method, "projectors")


def test_a_sam_is_shown_three_bands_or_all(make_task: Callable[..., Task], make_config: Make) -> None:
    task = make_task(bands=5)
    assert GoodSam(replace(task, sam=Sam(replace(TINY, bands=5))), make_config()).teacher.anatomy.bands == 5
    with pytest.raises(SettingsError, match="goodsam shows three bands to SAM; this SAM takes 4"):
        GoodSam(replace(task, sam=Sam(replace(TINY, bands=4))), make_config())


def test_only_the_last_stage_teaches_what_answers(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config())
    names = [stage.name for stage in method.stages]
    assert names == ["assistant", "rectify", "distil"]
    assert [gives_answers(method, names[:count]) for count in (1, 2, 3)] == [False, False, True]


@pytest.mark.slow
def test_every_stage_learns_and_nothing_else_moves(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config())
    before_sam = weights(method, "teacher.")
    for stage, moving, batch in zip(
        method.stages,
        (("source.",), ("adapted.",), ("student.", "projectors.")),
        (batch_of(labels=True), batch_of(), batch_of()),
        strict=True,
    ):
        if stage.begin is not None:
            stage.begin()
            assert same(weights(method.adapted, ""), weights(method.source, ""))  # type: ignore[arg-type]
        parts = ("source.", "adapted.", "student.", "projectors.", "teacher.")
        before = {part: weights(method, part) for part in parts}
        (log,) = step(method, stage, batch)
        assert torch.isfinite(log["loss"])
        for part in parts:
            assert same(before[part], weights(method, part)) == (part not in moving), (stage.name, part)
    assert same(before_sam, weights(method, "teacher.")), "bit for bit"
    assert method.stages[-1].discards == ("source", "adapted", "teacher", "projectors")


@pytest.mark.slow
def test_losses_of_distillation_reach_the_student_alone(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config())
    for parameter in method.parameters():
        parameter.requires_grad_(True)
    with torch.random.fork_rng():
        method.stages[-1].loss(batch_of(), Moment(0, 0, 0, range(1)))["loss"].backward()
    touched = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
    assert touched == {"student", "projectors"}


@pytest.mark.slow
def test_no_label_is_read_without_need(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config())
    with pytest.raises(SettingsError, match=r"needs labels, and this split has none.*stages.assistant.split"):
        method.stages[0].loss(batch_of(), Moment(0, 0, 0, range(1)))
    method.eval()
    for stage in method.stages[1:]:
        losses = [stage.loss(batch_of(labels=with_labels), Moment(0, 0, 0, range(1))) for with_labels in (True, False)]
        with torch.no_grad():
            assert torch.equal(losses[0]["loss"], losses[1]["loss"])


def test_what_is_known_of_a_panorama_is_computed_once_in_any_pose(
    make_task: Callable[..., Task], make_config: Make
) -> None:
    method = GoodSam(make_task(), make_config(distil={"windows": 0, "features": 0}), assistant=Blurred()).eval()
    loss = method.stages[-1].loss
    plain = batch_of()
    turned = Batch(plain.image_BCHW.roll(37, -1).flip(-1), plain.valid_BHW, None, plain.keys)
    with torch.no_grad():
        first, again, other = (loss(batch, Moment(0, 0, 0, range(1))) for batch in (plain, plain, turned))
    assert [each["cached"].item() for each in (first, again, other)] == [0, 1, 1]
    assert torch.equal(first["loss"], again["loss"]), "cached and live agree"
    ensembles = [method.ensemble(batch.image_BCHW[0]).prob_KHW for batch in (plain, turned)]
    assert torch.equal(ensembles[0].roll(37, -1).flip(-1), ensembles[1])
    assert method._knowledge.asked == 1
    with torch.no_grad():
        method.assistant.net.bias_K.add_(0.5)  # type: ignore[union-attr, operator]
        assert loss(plain, Moment(0, 0, 0, range(1)))["cached"].item() == 0, "another assistant, another ensemble"
    assert method._knowledge.asked == 1, "and the same masks"


@pytest.mark.slow
def test_each_setting_that_decides_is_in_the_key(make_task: Callable[..., Task], make_config: Make) -> None:
    image = batch_of().image_BCHW[0]
    base = {"distil": {"features": 0}, "assistant": "given:elsewhere", "rectify": {"consistency": 0, "boundary": 0}}
    changes = ({}, {"fusion": {"dominance": 0.6}}, {"masks": {"points_per_side": 2}}, {"windows": {"columns": 3}})
    for change in (*changes, {"thin": ("car",)}, {"fusion": {"strength": 0.0}}):
        method = GoodSam(make_task(), make_config(**base, **change), assistant=Blurred())
        assert not method.ensemble(image).is_from_cache, change
        assert method.ensemble(image).is_from_cache
    hard = GoodSam(make_task(), make_config(**base, fusion={"output": "hard"}), assistant=Blurred())
    assert hard.ensemble(image).is_from_cache is False  # masks of the first are there, at other settings of clicks


@pytest.mark.parametrize("wanted", [{}, {"fusion": {"output": "hard"}, "windows": {"columns": 3, "rows": 2}}])
@pytest.mark.slow
def test_one_row_or_more_soft_or_hard(
    make_task: Callable[..., Task], make_config: Make, wanted: dict[str, object]
) -> None:
    config = make_config(rectify={"consistency": 0, "boundary": 0}, **wanted)
    size = (64, 192)
    method = GoodSam(make_task(), config)
    assert len(method.stages[-1].learns) == 3
    log = step(method, method.stages[-1], batch_of(2, size=size))
    assert {"ensemble", "windows", "features", "purity", "cached"} <= log[0].keys()


@pytest.mark.slow
def test_a_second_pass_of_the_student_on_windows_is_a_choice(make_task: Callable[..., Task], make_config: Make) -> None:
    only = {"ensemble": 0, "windows": 0, "features": 0, "student_on_windows": 1.0}
    method = GoodSam(make_task(), make_config(distil=only, windows={"columns": 3}), assistant=Blurred())
    (log,) = step(method, method.stages[-1], batch_of())
    assert log["loss"].item() == pytest.approx(log["student_on_windows"].item()) != 0


@pytest.mark.slow
def test_each_block_can_be_switched_off_alone(make_task: Callable[..., Task], make_config: Make) -> None:
    task = make_task()

    def parts(stage: int, **changes: object) -> set[str]:
        method = GoodSam(task, make_config(**changes)).eval()
        return set(method.stages[stage].loss(batch_of(), Moment(0, 0, 0, range(1)))) - {"loss", "purity", "cached"}

    assert parts(1) == {"consistency", "label", "edge", "anchor"}
    assert parts(1, rectify={"consistency": 0}) == {"label", "edge", "anchor"}
    assert parts(1, rectify={"boundary": 0}) == {"consistency", "anchor"}
    assert parts(1, rectify={"anchor": 0, "consistency": 0}) == {"label", "edge"}
    assert parts(2) == {"ensemble", "windows", "features"}
    for name in ("ensemble", "windows", "features"):
        assert parts(2, distil={name: 0}) == {"ensemble", "windows", "features"} - {name}


def test_without_fusion_sam_is_never_asked(make_task: Callable[..., Task], make_config: Make) -> None:
    off = {"rectify": {"consistency": 0, "boundary": 0}, "fusion": {"strength": 0.0}, "distil": {"features": 0}}
    method = GoodSam(make_task(), make_config(**off), assistant=Blurred()).eval()
    image = batch_of().image_BCHW
    found = method.ensemble(image[0]).prob_KHW
    assert method._knowledge.asked == 0
    plan = method._see(batch_of()).plan
    frame = method._see(batch_of()).frames[0]
    with torch.no_grad():
        windows = method.source(plan.cut(frame.settle(image))[0]).softmax(1)[None]
    assert torch.allclose(frame.restore(plan.merge(windows))[0], found, atol=0.01)


@pytest.mark.slow
def test_joint_teaching_follows_the_assistant(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config(joint=True))
    stage = method.stages[-1]
    assert stage.begin is not None
    stage.begin()
    before = weights(method, "source.")
    log = step(method, stage, batch_of(), steps=2)
    assert log[1]["cached"].item() == 0
    assert same(before, weights(method, "source."))
    assert {"consistency", "anchor", "ensemble", "features"} <= log[0].keys()
    with pytest.raises(ValidationError, match="joint adapts the assistant"):
        make_config(joint=True, rectify={"consistency": 0, "boundary": 0})


def test_rolling_by_a_stride_rolls_the_ensemble(make_task: Callable[..., Task], make_config: Make) -> None:
    """Of the windows themselves, without the frame that would make it trivial."""
    method = GoodSam(make_task(), make_config(distil={"features": 0}), assistant=Blurred()).eval()
    image = batch_of(size=(32, 128)).image_BCHW
    plan = method._see(batch_of(size=(32, 128))).plan
    assert plan.lefts == (0, 32, 64, 96)

    def merged(shown: Tensor) -> Tensor:
        with torch.no_grad():
            return plan.merge(method.source(plan.cut(shown)[0]).softmax(1)[None])

    assert (merged(image.roll(32, -1)) - merged(image).roll(32, -1)).abs().max() <= 1e-4
    other = merged(image.roll(11, -1)).argmax(1) == merged(image).roll(11, -1).argmax(1)
    assert other.float().mean() >= 0.9


@pytest.mark.parametrize("geometry", ["nadir", "perspective", "fisheye"])
def test_one_window_over_what_does_not_go_around_is_the_assistant_itself(
    make_task: Callable[..., Task], make_config: Make, geometry: str
) -> None:
    config = make_config(windows={}, distil={"features": 0}, fusion={"strength": 0.0})
    method = GoodSam(make_task(geometry=geometry), config, assistant=Blurred()).eval()
    image = torch.randn(1, len(CLASSES), 40, 40)
    batch = Batch(image, torch.ones(1, 40, 40, dtype=torch.bool), None, ("one",))
    assert len(method._see(batch).plan) == 1
    frame = method._see(batch).frames[0]
    with torch.no_grad():
        answer = frame.restore(method.source(frame.settle(image)).softmax(1)[0])
        assert torch.allclose(method.ensemble(image[0]).prob_KHW, answer, atol=0.01)
        assert method.stages[1].loss(batch, Moment(0, 0, 0, range(1)))["consistency"].item() == 0


@pytest.mark.slow
@pytest.mark.parametrize("bands", [1, 4, 13])
def test_students_of_any_bands_learn_from_the_same_ensemble(
    make_task: Callable[..., Task], make_config: Make, bands: int
) -> None:
    task = make_task(bands=bands, classes=("a", "b"))
    method = GoodSam(task, make_config(distil={"windows": 0, "features": 0}, thin=()), assistant=nn.Conv2d(bands, 2, 1))
    batch = Batch(torch.randn(1, bands, *SMALL), torch.ones(1, *SMALL, dtype=torch.bool), None, ("one",))
    (log,) = step(method, method.stages[-1], batch)
    assert torch.isfinite(log["loss"])
    with torch.no_grad():
        assert method.eval()(torch.randn(2, bands, 33, 70)).shape == (2, 2, 33, 70)


@pytest.mark.slow
def test_the_seam_is_no_worse_than_elsewhere(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config(around=32, distil={"windows": 0, "features": 0}), assistant=Blurred())
    batch = batch_of(size=(32, 128))
    step(method, method.stages[-1], batch, steps=12, rate=3e-3)
    method.eval()
    with torch.no_grad():
        plain = method(batch.image_BCHW).argmax(1)
        rolled = method(batch.image_BCHW.roll(64, -1)).roll(-64, -1).argmax(1)
    apart = (plain != rolled).float()
    seam = torch.cat([apart[..., :8], apart[..., -8:]], -1).mean().item()
    assert 100 * (seam - apart[..., 8:-8].mean().item()) <= 5
    assert len(plain.unique()) > 1


@pytest.mark.slow
def test_the_student_is_a_plain_network_of_one_pass(make_task: Callable[..., Task], make_config: Make) -> None:
    few, many = (GoodSam(make_task(), make_config(windows={"columns": count})) for count in (2, 6))
    for method in (few, many):
        calls: list[int] = []
        method.student.net.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        with torch.no_grad():
            method.eval()(batch_of().image_BCHW)
        assert calls == [1]
    names = {type(module).__module__.split(".")[0] for module in few.student.modules()}
    assert names <= {"torch", "transformers", "sensam"}
    kept = [name for name, _ in few.named_children() if name not in few.stages[-1].discards]
    assert kept == ["student"]


def test_light_changes_for_the_student_alone_and_can_be_repeated(
    make_task: Callable[..., Task], make_config: Make
) -> None:
    method = GoodSam(make_task(), make_config(distil={"features": 0}), assistant=Blurred())
    batch = batch_of()
    holes = batch.valid_BHW.clone()
    holes[:, :4] = False
    batch = Batch(batch.image_BCHW * holes[:, None], holes, None, batch.keys)
    lit = [method._distillation._relit(batch, Moment(0, epoch, 0, range(1))) for epoch in (0, 0, 1)]
    assert torch.equal(lit[0], lit[1])
    assert not torch.equal(lit[0], lit[2])
    assert (lit[0][:, :, :4] == 0).all()


@pytest.mark.slow
def test_perspective_views_of_labelled_panoramas(make_task: Callable[..., Task], make_config: Make) -> None:
    method = GoodSam(make_task(), make_config(cut_views=True))
    (log,) = step(method, method.stages[0], batch_of(labels=True, size=(96, 192)))
    assert torch.isfinite(log["loss"])


@pytest.mark.slow
def test_mistakes(make_task: Callable[..., Task], make_config: Make, tmp_path: Path) -> None:
    method = GoodSam(make_task(), make_config())
    with pytest.raises(InputError, match="at least twice as wide as it is high, found 32 x 48"):
        method.stages[-1].loss(batch_of(size=(32, 48)), Moment(0, 0, 0, range(1)))
    with pytest.raises(SettingsError, match="shows no levels of features"):
        GoodSam(make_task(), make_config(), assistant=Blurred())
    with pytest.raises(SensamError, match="Did you mean 'pole'"):
        GoodSam(make_task(), make_config(thin=("poles",)))
    with pytest.raises(ValidationError, match="every weight is 0"):
        make_config(distil={"ensemble": 0, "windows": 0, "features": 0})
    with pytest.raises(SensamError, match="cannot be read as a SegFormer"):
        GoodSam(make_task(), make_config(assistant=str(tmp_path / "none")))
