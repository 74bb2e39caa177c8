"""What every method promises, for 1, 3 and 13 bands: stages that do what they say, maps that fit, SAM untouched."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sensam.methods import METHODS, find_method
from sensam.methods.base import Method, Stage, Task
from sensam.methods.rebuilding import discard, learned_by, spent
from sensam.nn.surgery import freeze_all_but, has_part, holdings
from sensam.run import build_method, load, save_model
from sensam.run.model import describe_model
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam, save_sam
from sensam.train.groups import parameter_groups
from sensam.types import Batch, Prompts
from tests.methods.conftest import make_sensor, moment
from tests.tiny_sam import TINY

CLASSES = ("ground", "water", "wood")
SIZE = (32, 64)
STEPS = 12  # at most; fewer as soon as everything that learns has had a gradient

# What makes a method small enough for a test; nothing that would change what it promises.
SMALL: dict[str, dict[str, Any]] = {
    "goodsam": {
        "student_head": 8,
        "assistant_size": "b0",
        "masks": {"points_per_side": 2, "min_iou": 0.0, "min_stability": 0.0},
    },
    "unet": {"encoder": "resnet18"},
}
LARGE = {"goodsam", "unet"}  # not made of SAM's parts, which can be as small as one likes
EVERY = pytest.mark.parametrize("name", sorted(METHODS))
CASES = pytest.mark.parametrize(
    ("name", "bands"),
    [
        pytest.param(name, bands, marks=[pytest.mark.slow] if name in LARGE or bands != 13 else [])
        for name in sorted(METHODS)
        for bands in (1, 3, 13)
    ],
)


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM on disk, with tables of positions as a trained one has them."""
    torch.manual_seed(0)
    sam = Sam(TINY)
    with torch.no_grad():
        for name, weight in sam.named_parameters():
            if "pos_embed" in name or "rel_pos" in name:
                weight.add_(0.3 * torch.randn(weight.shape))
    folder = tmp_path_factory.mktemp("sam")
    save_sam(sam, folder)
    return folder


@pytest.fixture(scope="module")
def loaded(sam_folder: Path) -> Sam:
    """Read once: a copy takes a tenth of the time."""
    return load_sam(sam_folder)


@pytest.fixture
def make(loaded: Sam, tmp_path: Path) -> Callable[[str, int], Method]:
    """A method with settings that keep it small."""

    def build(name: str, bands: int) -> Method:
        torch.manual_seed(0)
        task = Task(make_sensor(bands), CLASSES, deepcopy(loaded), 32)
        settings = dict(SMALL.get(name, {}))
        if "cache" in find_method(name).Config.model_fields and name == "goodsam":
            settings["cache"] = str(tmp_path / "cache")
        return build_method(name, task, settings)

    return build


def make_batch(bands: int, count: int = 2, seed: int = 0, size: tuple[int, int] = SIZE) -> Batch:
    """Pixels from whose values the class follows."""
    dice = torch.Generator().manual_seed(seed)
    image = torch.randn(count, bands, *size, generator=dice)
    label = (image[:, 0] > 0).long() + (image[:, -1] > 1).long()
    label[:, :2] = 255
    return Batch(image, torch.ones(count, *size, dtype=torch.bool), label, tuple(f"image-{n}" for n in range(count)))


def teach(method: Method, stage: Stage, bands: int, steps: int = STEPS) -> tuple[set[str], set[str]]:
    """Some steps of one stage; the names of what should move, and of what never had a gradient."""
    if stage.begin:
        stage.begin()
    factors = freeze_all_but(method, stage.learns)
    method.train()
    groups = parameter_groups(method.named_parameters(), factors, weight_decay=0.05)
    optimiser = torch.optim.AdamW([{**group, "lr": 1e-3 * group["factor"]} for group in groups])
    starved = set(factors)
    for step in range(steps):
        batch = make_batch(bands, seed=step)
        losses = stage.loss(batch, moment(step, len(batch)))
        assert losses["loss"].ndim == 0
        assert all(value.isfinite().all() for value in losses.values())
        losses["loss"].backward()
        for name, parameter in method.named_parameters():
            if name not in factors:
                assert parameter.grad is None, f"{name} is frozen and has a gradient"
            elif parameter.grad is not None and parameter.grad.any():
                starved.discard(name)
        optimiser.step()
        optimiser.zero_grad()
        if not starved:
            break
    return set(factors), starved


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict(keep_vars=True).items()}


@pytest.mark.slow
@CASES
def test_its_stages_do_exactly_what_they_say(make: Callable[[str, int], Method], name: str, bands: int) -> None:
    method = make(name, bands)
    stages = method.stages
    assert len({stage.name for stage in stages}) == len(stages)
    learned_by(method, stages)  # an error where a pattern fits nothing
    given = snapshot(method.task.sam)
    for stage in stages:
        assert all(has_part(method, child) for child in stage.discards)
        before = snapshot(method)
        moving, starved = teach(method, stage, bands)
        assert not starved, f"no gradient in {STEPS} steps of {stage.name}: {sorted(starved)[:5]}"
        after = snapshot(method)
        parameters = {each for each, _ in method.named_parameters()}
        changed = {each for each in after if not torch.equal(before[each], after[each])}
        assert changed & parameters == moving
        assert changed - parameters <= set(holdings(method, moving)), "a buffer moved that no checkpoint holds"
        discard(method, [stage.name])
    for each, weight in snapshot(method.task.sam).items():
        assert torch.equal(weight, given[each]), f"the task's SAM changed in {each}"


@CASES
def test_a_batch_is_its_images_and_maps_have_their_size(
    make: Callable[[str, int], Method], name: str, bands: int
) -> None:
    method = make(name, bands).eval()
    image = make_batch(bands, count=3).image_BCHW
    sam = method.promptable()
    assert sam is not None or makes_maps(method)
    with torch.no_grad():
        if makes_maps(method):
            logits = method(image)
            assert logits.shape == (3, len(CLASSES), *SIZE)
            for row in range(3):
                torch.testing.assert_close(method(image[row : row + 1])[0], logits[row], rtol=1e-4, atol=1e-4)
            odd = make_batch(bands, size=(37, 45)).image_BCHW
            assert method(odd).shape == (2, len(CLASSES), 37, 45)
        if sam is not None:
            assert sam.anatomy.bands == bands
            masks = click(sam, image)
            assert masks.shape == (3, 1, 4 * SIZE[0] // TINY.patch, 4 * SIZE[1] // TINY.patch)
            for row in range(3):
                torch.testing.assert_close(click(sam, image[row : row + 1])[0], masks[row], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@CASES
def test_what_is_saved_comes_back_with_the_same_answers(
    make: Callable[[str, int], Method], name: str, bands: int, tmp_path: Path
) -> None:
    method = make(name, bands)
    learned = learned_by(method, method.stages)
    stages = tuple(learned)
    for stage in method.stages:
        teach(method, stage, bands, steps=1)
        if stage.name in spent(method, stages):
            discard(method, [stage.name])
    trained: frozenset[str] = frozenset().union(*learned.values())
    config = describe_model(method, name, colours=((0, 0, 0),) * 3, stages=stages)
    save_model(tmp_path / "model", method, trained, config, {})
    torch.manual_seed(99)  # what is frozen and random must not depend on luck
    again = load(tmp_path / "model").method
    image = make_batch(bands, seed=7).image_BCHW
    assert method.state_dict().keys() == again.state_dict().keys()
    for each, weight in again.state_dict().items():
        assert torch.equal(weight, method.state_dict()[each]), each
    with torch.no_grad():
        ours, theirs = answer(method.eval(), image), answer(again.eval(), image)
    # Equal weights that lie elsewhere in memory may take another kernel, and end in another last bit.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.slow
@EVERY
def test_it_is_described_and_survives_a_copy(make: Callable[[str, int], Method], name: str) -> None:
    method = make(name, 3)
    assert method.paper
    assert type(method).__doc__
    assert type(method).Config().protocol == "strict"
    twin = deepcopy(method)
    assert twin.state_dict().keys() == method.state_dict().keys()


def makes_maps(method: Method) -> bool:
    """Whether it makes class maps, or only answers clicks."""
    return any(stage.judged_by != "clicks" for stage in method.stages)


def answer(method: Method, image_BCHW: Tensor) -> Tensor:
    """Class logits, or the mask of a click."""
    if makes_maps(method):
        return method(image_BCHW)
    sam = method.promptable()
    assert sam is not None
    return click(sam, image_BCHW)


def click(sam: Sam, image_BCHW: Tensor) -> Tensor:
    """One click in the middle of each image."""
    middle = torch.tensor([[SIZE[1] / 2, SIZE[0] / 2]]).expand(len(image_BCHW), 1, 2)
    prompts = Prompts(middle, torch.ones(len(image_BCHW), 1, dtype=torch.long))
    return sam.decode(sam.encode(image_BCHW), prompts, multimask=False)[0]
