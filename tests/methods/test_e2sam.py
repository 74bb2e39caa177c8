"""E2SAM: who sees which bands, what learns and what never does, what is compared, and what is handed on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sensam.config import RunSettings
from sensam.data.published.sfdd_h8 import ahi_uint8
from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.nn.surgery import freeze_all_but, holdings
from sensam.sam.anatomy import SIZES
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam
from tests.methods.conftest import learn
from tests.methods.e2sam_losses import drawn, inherit, planes_of

Make = Callable[..., Any]


@pytest.mark.parametrize("bands", [1, 2, 3, 13])
def test_it_inherits_and_finetunes_with_any_number_of_bands(make_e2sam: Make, make_batch: Make, bands: int) -> None:
    method, batch = make_e2sam(bands), make_batch(bands)
    first, second = method.stages
    log = learn(method, first, [batch] * 2)
    assert 0 < log[0]["loss"] == log[0]["mse"] < 4
    for part in first.discards:
        delattr(method, part)
    learn(method, second, [batch])
    method.eval()
    assert method(batch.image_BCHW[..., :19]).shape == (2, 3, 32, 19)


@pytest.mark.slow
def test_inheriting_needs_no_labels(make_e2sam: Make, make_batch: Make) -> None:
    method, batch = make_e2sam(), make_batch()
    assert not method.stages[0].needs_labels
    assert inherit(method, replace(batch, label_BHW=None))["loss"] > 0


def test_the_student_has_the_published_number_of_parameters() -> None:
    for bands in (3, 4, 16):
        with torch.device("meta"):
            encoder = ImageEncoder(replace(SIZES["b"], bands=bands), neck=False)
        assert encoder.patch_embed.projection.weight.shape == (768, bands, 16, 16)
        assert sum(weight.numel() for weight in encoder.parameters()) == 88_883_456 + 196_608 * (bands - 3)


def test_the_whole_network_for_shift_has_the_published_number_of_parameters() -> None:
    from sensam.methods.segmenting import SegmentingNet

    with torch.device("meta"):
        net = SegmentingNet(ImageEncoder(replace(SIZES["b"], bands=4)), 23)
    assert sum(weight.numel() for weight in net.parameters()) == 90_055_255


def test_a_checkpoint_of_sixteen_bands_is_as_large_as_the_student_and_its_optimiser_alone() -> None:
    with torch.device("meta"):
        method = E2Sam(Task(ahi_uint8(), ("clear", "fog"), Sam(SIZES["b"]), size=512), E2SamConfig())
    freeze_all_but(method, method.stages[0].learns)
    trained = {name for name, weight in method.named_parameters() if weight.requires_grad}
    weights = 4 * sum(weight.numel() for weight in holdings(method, trained).values())
    moments = 2 * 4 * sum(weight.numel() for weight in method.parameters() if weight.requires_grad)
    assert weights / 1e9 == pytest.approx(0.38, abs=0.005)
    assert (weights + moments) / 1e9 == pytest.approx(1.14, abs=0.005)


def test_the_student_is_random_with_empty_tables_and_only_its_neck_is_the_teachers(make_e2sam: Make) -> None:
    method = make_e2sam(3)
    student, teacher = (each.state_dict() for each in (method.net.encoder, method.task.sam.vision_encoder))
    for name, weight in student.items():
        assert torch.equal(weight, teacher[name]) == name.startswith("neck.")
        assert not ("pos" in name and weight.any())
    fresh = make_e2sam(3, neck_init="random").net.encoder.state_dict()
    assert not any(torch.equal(weight, teacher[name]) for name, weight in fresh.items())


def test_a_student_can_start_from_sam_when_asked(make_e2sam: Make) -> None:
    method = make_e2sam(4, student_init="sam")
    student, teacher = method.net.encoder.state_dict(), method.task.sam.vision_encoder.state_dict()
    patches = "patch_embed.projection.weight"
    assert all(torch.equal(weight, teacher[name]) for name, weight in student.items() if name != patches)
    torch.testing.assert_close(student[patches].sum(1), teacher[patches].sum(1))


def test_a_student_of_another_size_and_patch_learns_from_any_teacher(make_task: Make, make_batch: Make) -> None:
    task = make_task(4, patch=16, image_size=64)
    method = E2Sam(task, E2SamConfig(student="nano"))
    anatomy = method.net.encoder.anatomy
    assert (anatomy.width, anatomy.patch, anatomy.embedding) == (160, 8, task.sam.anatomy.embedding)
    own, theirs = (each.state_dict() for each in (method.net.encoder.neck, task.sam.vision_encoder.neck))
    assert torch.equal(own["conv2.weight"], theirs["conv2.weight"])
    assert own["conv1.weight"].shape != theirs["conv1.weight"].shape
    assert inherit(method, make_batch(4))["loss"] > 0
    with pytest.raises(SettingsError, match="student_init"):
        E2Sam(task, E2SamConfig(student="nano", student_init="sam"))


def test_a_teacher_must_take_three_bands(make_task: Make) -> None:
    with pytest.raises(SettingsError, match="this SAM takes 4"):
        E2Sam(Task(make_task(5).sensor, ("a", "b"), _sam(4), 32), E2SamConfig())


def _sam(bands: int) -> Any:
    from sensam.sam.model import Sam
    from tests.tiny_sam import TINY

    return Sam(replace(TINY, bands=bands))


def test_each_slot_of_the_teacher_and_of_the_merge_holds_its_band_of_the_triple(
    make_e2sam: Make, make_batch: Make
) -> None:
    method, batch = make_e2sam(noise=0, triples=2), make_batch()
    triples, seen, columns = drawn(method, batch), [], []
    hooks = (
        method.teacher.encoder.patch_embed.register_forward_pre_hook(lambda _, given: seen.append(given[0])),
        method.branches.register_forward_hook(lambda _, given, out: columns.append((given[0], out))),
    )
    inherit(method, batch)
    for hook in hooks:
        hook.remove()
    planes = torch.cat(seen)
    tokens, out = columns[0]
    for image in range(2):
        for number in range(2):
            for slot, band in enumerate(triples[image, number].tolist()):
                assert torch.equal(planes[2 * image + number, slot], batch.image_BCHW[image, band])
                expected = method.branches.of_band[band](tokens[image])
                torch.testing.assert_close(out[image, number, ..., 16 * slot : 16 * (slot + 1)], expected)


def test_both_sides_go_through_the_same_half_neck_and_are_compared_at_every_token(
    make_e2sam: Make, make_batch: Make
) -> None:
    method, batch = make_e2sam(noise=0), make_batch()
    passed = []
    hook = method.teacher.neck.layer_norm2.register_forward_hook(lambda *call: passed.append(call[2]))
    losses = inherit(method, batch)
    hook.remove()
    target, found = passed
    assert target.shape == found.shape == (2, 16, 4, 4)
    torch.testing.assert_close(losses["loss"], (target - found).square().mean())
    whole = method.task.sam.vision_encoder(planes_of(batch.image_BCHW, drawn(method, batch)))
    torch.testing.assert_close(target, whole)


def test_comparing_before_the_shared_half_is_an_option(make_e2sam: Make, make_batch: Make) -> None:
    passed = []
    method = make_e2sam(align_before_shared=True)
    method.teacher.neck.conv2.register_forward_hook(lambda *_: passed.append(1))
    assert inherit(method, make_batch())["loss"] > 0
    assert not passed


def test_nothing_of_the_teacher_learns_and_gradients_reach_the_student_through_it(
    make_e2sam: Make, make_batch: Make
) -> None:
    method, batch = make_e2sam(), make_batch()
    before = {name: weight.clone() for name, weight in method.task.sam.state_dict().items()}
    learn(method, method.stages[0], [batch] * 3)
    for name, weight in method.task.sam.state_dict().items():
        assert torch.equal(weight, before[name])
    assert not any(weight.requires_grad for weight in method.teacher.parameters())
    assert not any(part.training for part in method.teacher.modules())
    assert method.net.encoder.patch_embed.projection.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in method.teacher.parameters())


def test_only_the_chosen_branches_move(make_e2sam: Make, make_batch: Make) -> None:
    method, batch = make_e2sam(8), make_batch(8)
    chosen = set(drawn(method, batch).flatten().tolist())
    before = {name: weight.clone() for name, weight in method.branches.named_parameters()}
    learn(method, method.stages[0], [batch])
    for name, weight in method.branches.named_parameters():
        is_chosen = int(name.split(".")[1]) in chosen
        assert torch.equal(weight, before[name]) != is_chosen
        assert (weight.grad is not None) == is_chosen


def test_neck_and_decoder_wait_while_the_student_inherits(make_e2sam: Make) -> None:
    method = make_e2sam()
    moving = freeze_all_but(method, method.stages[0].learns)
    assert not any(".neck." in name or ".decoder." in name for name in moving)
    assert set(moving.values()) == {1.0}
    along = make_e2sam(neck_loss=1.0)
    own = freeze_all_but(along, along.stages[0].learns).keys() - moving.keys()
    assert own == {f"net.encoder.neck.{part}" for part in ("conv1.weight", "layer_norm1.weight", "layer_norm1.bias")}


def test_finetuning_moves_everything_that_is_left_the_encoder_at_half_the_rate(make_e2sam: Make) -> None:
    method = make_e2sam()
    for part in method.stages[0].discards:
        delattr(method, part)
    moving = freeze_all_but(method, method.stages[1].learns)
    assert set(moving) == {name for name, _ in method.named_parameters()}
    assert moving["net.encoder.pos_embed"] == 0.5
    assert moving["net.encoder.neck.conv1.weight"] == moving["net.decoder.classify.bias"] == 1.0


def test_nothing_but_the_student_and_its_decoder_is_left_for_finetuning(make_e2sam: Make) -> None:
    method = make_e2sam()
    for part in method.stages[0].discards:
        delattr(method, part)
    assert {name.split(".")[0] for name, _ in method.named_parameters()} == {"net"}
    assert method.stages[1].begin is None


SECTION_4_1 = {
    "inherit": {"epochs": 50, "batch": 8, "rate": 1e-4, "least_rate": 1e-6},
    "finetune": {"epochs": 100, "batch": 2, "rate": 1e-4, "least_rate": 0.0},
}
OF_BOTH = {"steps": None, "weight_decay": 0.05, "decay_all": False, "warm_up": 0.05, "optimiser": "adamw"}
OF_METHOD = {
    "protocol": "strict",
    "student": "teacher",
    "student_init": "random",
    "neck_init": "teacher",
    "match": "mse",
    "align_before_shared": False,
    "triples": 1,
    "one_triple_a_step": False,
    "teacher_input": "standardise",
    "noise": 0.2,
    "noisy_teacher": False,
    "loss": "ce",
    "class_weights": None,
    "encoder_rate": 0.5,
    "detail": False,
}


@pytest.mark.parametrize("stage", ["inherit", "finetune"])
def test_without_settings_a_stage_trains_as_the_method_should(make_e2sam: Make, stage: str) -> None:
    run = RunSettings(data="any", method="e2sam").resolved({each.name: each.settings for each in make_e2sam().stages})
    found = run.stages[stage].model_dump()
    wanted = SECTION_4_1[stage] | OF_BOTH
    assert {name: found[name] for name in wanted} == wanted


def test_without_settings_the_method_is_as_it_should_be() -> None:
    found = E2SamConfig().model_dump()
    assert {name: found[name] for name in OF_METHOD} == OF_METHOD


@pytest.mark.parametrize("match", ["mmd_batch", "mmd_token"])
def test_discrepancies_match_sets_and_mse_is_still_told(make_e2sam: Make, make_batch: Make, match: str) -> None:
    method = make_e2sam(match=match, triples=2)
    log = learn(method, method.stages[0], [make_batch()] * 2)
    assert 0 < log[0]["loss"] < 2
    assert log[0]["mse"] != log[0]["loss"]


def test_mmd_over_maps_refuses_a_single_image(make_e2sam: Make, make_batch: Make) -> None:
    with pytest.raises(SettingsError, match="at least 2"):
        inherit(make_e2sam(match="mmd_batch"), make_batch(count=1))
    assert inherit(make_e2sam(match="mmd_token"), make_batch(count=1))["loss"].isfinite()


def test_mse_of_unrelated_features_is_two_and_half_precision_does_not_reach_it(
    make_task: Make, make_batch: Make
) -> None:
    task = make_task(5, embedding=64)
    for norm in (task.sam.vision_encoder.neck.layer_norm1, task.sam.vision_encoder.neck.layer_norm2):
        torch.nn.init.ones_(norm.weight)
        torch.nn.init.zeros_(norm.bias)
    method, batch = E2Sam(task, E2SamConfig(noise=0)), make_batch(count=8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = inherit(method, batch)["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2, abs=0.1)


def test_several_triples_are_the_mean_of_each(make_e2sam: Make, make_batch: Make) -> None:
    method, batch = make_e2sam(noise=0, triples=3), make_batch()
    together = inherit(method, batch)["loss"]
    tokens, triples = method.net.encoder.tokens(batch.image_BCHW), drawn(method, batch)
    apart = []
    for number in range(3):
        target = method.teacher.teach(batch, batch.image_BCHW, triples[:, number : number + 1]).maps_RhwE
        found = method.teacher.share(
            method.merge(method.branches(tokens, triples[:, number : number + 1])).flatten(0, 1)
        )
        apart.append((found - target).square().mean())
    torch.testing.assert_close(together, torch.stack(apart).mean())


def test_picks_are_told_by_band_unless_asked_not_to(make_e2sam: Make, make_batch: Make) -> None:
    assert not any(name.startswith("picked") for name in inherit(make_e2sam(4, log_picks=False), make_batch(4)))
    method, batch = make_e2sam(4, triples=3), make_batch(4)
    for step in range(3):
        losses, chosen = inherit(method, batch, step), drawn(method, batch, step).flatten().tolist()
        shares = [losses[f"picked b{band}"].item() for band in range(4)]
        assert shares == pytest.approx([chosen.count(band) / 18 for band in range(4)])


@pytest.mark.slow
def test_inheriting_learns(make_e2sam: Make, make_batch: Make) -> None:
    method = make_e2sam(3, noise=0)
    log = learn(method, method.stages[0], [make_batch(3)] * 30, rate=3e-3)
    assert log[-1]["mse"] < 0.7 * log[0]["mse"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bank": 2, "triples": 3}, "enlarge bank"),
        ({"cache": "x", "noisy_teacher": True}, "never come again"),
        ({"bank": 4, "one_triple_a_step": True}, "one_triple_a_step"),
        ({"cache": "x", "one_triple_a_step": True}, "one_triple_a_step"),
        ({"cache": "x", "protocol": "paper", "noisy_teacher": False}, "one_triple_a_step"),
        ({"neck_loss": 1, "neck_init": "random"}, "neck_init"),
        ({"prompts": "neck"}, "neck_loss"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        E2SamConfig.model_validate(settings)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1024, 1024), (512, 512), (448, 448), (512, 1024), (100, 200)])
def test_tokens_are_one_for_each_patch_and_maps_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    from sensam.methods.segmenting import SegmentingNet

    with torch.device("meta"):
        net = SegmentingNet(ImageEncoder(replace(SIZES["b"], bands=16, depth=2, global_blocks=(1,))), 2)
        image = torch.zeros(1, 16, *size)
        assert net.encoder.tokens(image).shape == (1, -(-size[0] // 16), -(-size[1] // 16), 768)
        assert net(image).shape == (1, 2, *size)
