"""SimMAT: every projector with every strategy learns, what must rest rests, and what is saved comes back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.rebuilding import trained_by
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.methods.tuning import AMOUNTS, STRATEGIES, Strategy
from sensam.nn.projectors import PROJECTORS
from sensam.nn.surgery import choose
from sensam.nn.wrapping import unwrap
from sensam.run import load, save_model
from sensam.run.model import describe_model
from sensam.sam.framing import PHOTO_MEAN, PHOTO_STD
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam, save_sam
from sensam.sensors import load_sensor
from sensam.train.clicking import ClickJudge
from sensam.types import Batch, Prompts
from tests.methods.small_simmat import batch_of, learn, make, make_sam, moment_of, weights

# The fast tests take each projector once and each strategy once.
EVERY_PAIR = [
    pytest.param(projector, strategy, marks=[] if row == 0 or column == 0 else [pytest.mark.slow])
    for row, projector in enumerate(PROJECTORS)
    for column, strategy in enumerate(STRATEGIES)
]


@pytest.mark.slow
@pytest.mark.parametrize(("projector", "strategy"), EVERY_PAIR)
def test_every_projector_with_every_strategy_learns_and_is_judged(projector: str, strategy: Strategy) -> None:
    method, batch = make(projector=projector.replace("preattn", "preattn(8,1,8)"), strategy=strategy), batch_of(4)
    before = weights(method)
    (loss,) = learn(method, batch)
    assert np.isfinite(loss)
    (stage,) = method.stages
    moved = {name for name, value in weights(method).items() if not torch.equal(value, before[name])}
    assert moved
    assert moved <= set(choose(before, stage.learns))
    report = ClickJudge().report(ClickJudge().measure(method, batch, moment_of(0)))
    assert report["regions"] == 4
    assert 0 <= report["click_iou"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_rests_stays_bitwise_and_the_transfer_layer_always_learns(strategy: Strategy) -> None:
    method = make(strategy=strategy)
    before = weights(method)
    learn(method, batch_of(4), steps=2)
    changed = {name for name, value in weights(method).items() if not torch.equal(value, before[name])}
    patches = {"sam.vision_encoder.patch_embed.host.projection.weight"}
    assert (patches <= changed) == (strategy in ("full", "probe"))
    mat = {name for name in before if ".patch_embed.part." in name}
    assert len(mat) == 4
    assert mat <= changed
    still = {name for name in before if name.startswith(("sam.prompt_encoder.", "sam.shared_image_embedding."))}
    if strategy != "full":
        still |= {name for name in before if ".neck." in name}
        still |= {name for name in before if name.startswith("sam.mask_decoder.") and ".part." not in name}
    assert not still & changed
    assert all(p.grad is None for name, p in method.named_parameters() if name in still)
    added = {name for name in before if ".part." in name} - mat
    assert len(added & changed) == len(added)


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_any_number_of_bands_and_any_size(bands: int) -> None:
    method = make(bands)
    assert method.sam.anatomy.bands == bands
    assert method.task.sam.anatomy.bands == 3
    learn(method, batch_of(bands))
    prompts = Prompts(torch.tensor([[[9.0, 20.0]]]), torch.ones(1, 1, dtype=torch.int64))
    sam = method.sam
    logits, _ = sam.decode(sam.encode(torch.randn(1, bands, 21, 50)), prompts, multimask=False)
    assert sam.enlarge(logits, (21, 50)).shape == (1, 1, 21, 50)


@pytest.mark.slow
def test_the_sam_of_the_task_is_never_changed_and_comes_back_bit_for_bit() -> None:
    sam = make_sam()
    before = {name: value.clone() for name, value in sam.state_dict().items()}
    image = torch.randn(1, 3, 32, 48)
    answer = sam.encode(image)
    method = make(sam=sam)
    learn(method, batch_of(4), steps=2)
    back = unwrap(method.sam)
    assert torch.equal(back.encode(image), answer)
    for state in (sam.state_dict(), back.state_dict()):
        assert list(state) == list(before)
        assert all(torch.equal(value, before[name]) for name, value in state.items())


@pytest.mark.slow
def test_an_inherited_student_needs_no_projector_and_may_have_one() -> None:
    student = make_sam(bands=5)
    plain = make(5, sam=student, projector="none")
    assert not any("patch_embed.part" in name for name in plain.stages[0].learns)
    learn(plain, batch_of(5))
    with_mat = make(5, sam=student, projector="mat_conv")
    assert with_mat.sam.vision_encoder.patch_embed.part.narrow.out_channels == 5
    learn(with_mat, batch_of(5))
    with pytest.raises(SettingsError, match="needs a SAM of 4 bands as s has, found 3"):
        make(4, projector="none")


@pytest.mark.slow
def test_the_seed_decides_every_new_weight_and_the_first_losses() -> None:
    def first(seed: int) -> list[float]:
        return learn(make(seed=seed, strategy="prefix"), batch_of(4), steps=3)

    assert first(1) == first(1)
    assert first(1) != first(2)
    sam = make_sam()
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    make(sam=sam)
    assert torch.equal(torch.rand(1), expected)  # building takes nothing from anyone's random numbers


def test_from_scratch_starts_elsewhere() -> None:
    scratch = make(start="random", strategy="full", projector="mat_conv")
    assert not torch.equal(scratch.sam.mask_decoder.iou_token.weight, make_sam().mask_decoder.iou_token.weight)
    learn(scratch, batch_of(4))


def test_kept_colours_show_sam_its_own_photograph() -> None:
    sensor = load_sensor("rgb-thermal").with_statistics((120, 110, 90, 7000), (50, 60, 70, 300))
    sam = make_sam()
    task = Task(sensor, ("a", "b"), sam, size=32)
    method = SimMat(task, SimMatConfig(keeps_rgb=True, amount=2)).eval()
    stored = torch.randint(0, 256, (1, 4, 32, 32)).float()
    mean, std = (torch.tensor(part)[:, None, None] for part in sensor.statistics)
    photograph = (stored[:, :3] - torch.tensor(PHOTO_MEAN)[:, None, None]) / torch.tensor(PHOTO_STD)[:, None, None]
    assert torch.allclose(method.sam.encode((stored - mean) / std), sam.encode(photograph), atol=1e-3)
    plain = SimMat(task, SimMatConfig(amount=2)).eval()
    assert not torch.allclose(plain.sam.encode((stored - mean) / std), sam.encode(photograph), atol=0.1)
    with pytest.raises(SettingsError, match="keeps_rgb starts mat_conv"):
        make(4, keeps_rgb=True)


def test_paper_and_strict_protocols() -> None:
    paper, strict = make(protocol="paper", strategy="full"), make()
    assert paper.rule.legacy
    assert not strict.rule.legacy
    budget = paper.stages[0].settings
    assert budget["rate"] == 3e-5
    assert {"epochs": 51, "halve_every": 10, "batch": 4, "fit": "stretch", "augment": {}}.items() <= budget.items()
    assert strict.stages[0].settings["rate"] == 3e-4
    batch = batch_of(4)
    assert batch.label_BHW is not None
    first = paper._ask(batch, moment_of(0))
    assert torch.equal(first.known_Nhw[0], (batch.label_BHW[0] != 255)[::2, ::2])  # the first pixel of each cell
    bare = batch.label_BHW.clone()
    bare[bare == 0] = 1
    asked = paper._ask(Batch(batch.image_BCHW, batch.valid_BHW, bare, batch.keys), moment_of(0))
    assert all(mask[-1, 2] == 1 or mask.sum() < 100 for mask in asked.mask_Nhw)
    with pytest.raises(SettingsError, match="not connected pieces"):
        make(protocol="paper", regions="connected")
    with pytest.raises(ValueError, match="Did you mean 'mat_conv'"):
        make(projector="matconv")
    with pytest.raises(ValueError, match="clicks settle what a click means"):
        make(head="classwise", clicks=3)


@pytest.mark.slow
def test_merged_answers_the_same() -> None:
    method = make()
    untuned = make(strategy="probe").sam.eval()
    learn(method, batch_of(4), steps=3)
    image, prompts = torch.randn(1, 4, 32, 32), Prompts(torch.tensor([[[9.0, 20.0]]]), torch.ones(1, 1).long())
    merged = method.merged().eval()

    def answer(sam: Sam) -> tuple[Tensor, int]:
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            sam.requires_grad_(False)  # or the counter looks for gradients
            logits, _ = sam.decode(sam.encode(image), prompts, multimask=False)
        return logits, counted.get_total_flops()

    (tuned, cost), (folded, least) = answer(method.sam), answer(merged)
    assert torch.allclose(folded, tuned, atol=1e-5)
    assert not torch.allclose(answer(untuned)[0], tuned, atol=1e-3)
    assert cost > least == answer(untuned)[1]
    with pytest.raises(SettingsError, match="answers clicks, not class maps"):
        method(image)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_classes_by_the_class_wise_decoder_on_any_encoder(strategy: Strategy) -> None:
    method, batch = make(13, head="classwise", strategy=strategy), batch_of(13)
    before = weights(method)
    losses = learn(method, batch, steps=6)
    assert losses[-1] < losses[0]
    assert method(torch.randn(1, 13, 21, 50)).shape == (1, 3, 21, 50)
    changed = {name for name, value in weights(method).items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"sam", "decoder"}
    assert not any(name.startswith("sam.mask_decoder.") for name in changed)  # the decoder is its own
    assert method.promptable() is None
    assert method.stages[0].judged_by == "classes"


@pytest.mark.slow
def test_what_is_wrong_about_the_authors_parts_comes_with_their_protocol_alone() -> None:
    def size(protocol: str) -> torch.Size:
        method = make(protocol=protocol, projector="mlp_tuned_pe")
        return method.sam.vision_encoder.patch_embed.part.colours(torch.randn(1, 4, 16, 16)).shape  # type: ignore[no-any-return]

    def layers(protocol: str) -> int:
        return len(make(protocol=protocol, projector="preconv(3,2,8)").sam.vision_encoder.patch_embed.part.convolutions)

    def widest(protocol: str) -> float:
        tokens = make(protocol=protocol, strategy="prompt", amount=50).sam.vision_encoder.layers[0].attn.part.tokens
        return tokens.detach().abs().max().item()  # type: ignore[no-any-return]

    def mixes(protocol: str) -> bool:
        part = make(protocol=protocol, projector="preattn(8,1,8)").sam.vision_encoder.patch_embed.part
        part.blocks = nn.Identity()  # without attention a patch speaks of itself, and lands in its own place
        image = torch.randn(1, 4, 32, 32)
        changed = image.clone()
        changed[..., :8, :8] += 1
        return bool((part.colours(changed) - part.colours(image))[..., 8:].any())

    assert [size(protocol)[-1] for protocol in ("strict", "paper")] == [16, 18]
    assert [layers(protocol) for protocol in ("strict", "paper")] == [3, 2]
    assert widest("paper") > 1.5 * widest("strict")
    assert [mixes(protocol) for protocol in ("strict", "paper")] == [False, True]


PARTS: list[dict[str, Any]] = [
    {"projector": projector, "strategy": STRATEGIES[place % len(STRATEGIES)]}
    for place, projector in enumerate(projector for projector in PROJECTORS if projector != "preattn")
]
PARTS += [
    {"projector": "preattn(8,1,8)", "strategy": "prompt", "protocol": "paper"},
    {"start": "random", "strategy": "lora"},  # what never learnt and came from no file is drawn again
    {"head": "classwise", "strategy": "adapter", "projector": "mat_gated"},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", PARTS, ids=lambda settings: "-".join(settings.values()))
def test_what_is_saved_comes_back_whatever_its_parts(tmp_path: Path, settings: dict[str, Any]) -> None:
    save_sam(make_sam(), tmp_path / "sam")
    method, batch = make(sam=load_sam(tmp_path / "sam"), seed=3, **settings), batch_of(4)
    learn(method, batch)
    names = tuple(stage.name for stage in method.stages)
    trained = trained_by(method, names)
    save_model(
        tmp_path / "model",
        method,
        trained,
        describe_model(method, "simmat", colours=((0, 0, 0),) * 3, stages=names),
        {},
    )
    torch.manual_seed(99)  # nothing that is frozen may depend on luck
    again = load(tmp_path / "model")
    assert again.method.state_dict().keys() == method.state_dict().keys()
    assert all(torch.equal(value, method.state_dict()[name]) for name, value in again.method.state_dict().items())
    config = again.config
    assert settings.items() <= config["settings"].items()
    assert [band["name"] for band in config["sensor"]["bands"]] == ["b0", "b1", "b2", "b3"]
    assert len(config["base"]["identity"]) == 64
    base = {name.replace(".host.", ".") for name in make_sam().state_dict()}
    held = set(load_file(tmp_path / "model/model.safetensors"))
    if settings.get("strategy", "lora") in AMOUNTS and "head" not in settings:
        assert not {name.removeprefix("sam.") for name in held} & base, "a part of SAM that never learnt was saved"
