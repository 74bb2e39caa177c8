"""Teaching nano: a killed run goes on to the same weights, and will not go on with another recipe."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sensam.errors import InputError
from sensam.evaluate.clicks import HELD_OUT
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam, build_sam
from sensam.sam.nano import terms
from sensam.sam.nano.lessons import first_term
from sensam.sam.nano.terms import begin, promote, teach
from sensam.sam.nano.training import Recipe, build_optimisers, train

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="teaching nano needs torch 2.9")
TINY = Recipe(first_term(4, 4), steps=4, earlier=0, batch=1, warm_up=2, fall=(2, 6), landing=1)


class Killed(Exception):
    pass


@pytest.mark.slow
@needs_muon
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train(TINY, tmp_path / "whole", begin(0), save_every=2)

    def kill(row: dict[str, float]) -> None:
        if row["step"] == 2:
            raise Killed

    with pytest.raises(Killed):
        train(TINY, tmp_path / "killed", begin(0), save_every=2, report=kill)
    resumed = train(TINY, tmp_path / "killed", begin(0), save_every=2)
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0, msg=name)
    curves = [(tmp_path / run / "curve.csv").read_text().splitlines() for run in ("whole", "killed")]
    assert [line.rsplit(",", 1)[0] for line in curves[0]] == [line.rsplit(",", 1)[0] for line in curves[1]]


@pytest.mark.slow
@needs_muon
def test_another_recipe_is_refused(tmp_path: Path) -> None:
    short = replace(TINY, steps=1)
    train(short, tmp_path, begin(0), save_every=1)
    with pytest.raises(InputError, match=r"another recipe \(rate=0\.001\)"):
        train(replace(short, rate=0.5), tmp_path, begin(0))


@pytest.mark.slow
@needs_muon
def test_a_checkpoint_of_a_gpu_goes_on_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as on_gpu:
        on_gpu.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")  # all that a file tells of its device
        trained = train(replace(TINY, steps=1), tmp_path, begin(0), save_every=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    again = train(replace(TINY, steps=1), tmp_path, begin(1)).state_dict()
    assert all(torch.equal(weight.cpu(), again[name]) for name, weight in trained.state_dict().items())


def test_the_rate_warms_up_stays_falls_and_lands() -> None:
    recipe = Recipe(first_term(1, 2), steps=100, earlier=0, warm_up=10, fall=(50, 150), landing=10, rate=1.0)
    rates = [recipe.rate_at(step) for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert set(rates[10:51]) == {1.0}
    assert rates[51:94] == pytest.approx([(150 - step) / 100 for step in range(51, 94)])
    assert rates[95:] == pytest.approx([(100 - step) / 10 for step in range(95, 101)])


@pytest.mark.parametrize("recipe", [recipe for recipe, _, _ in terms.TERMS])
@pytest.mark.parametrize("steps", [1, 500, 3000, 12_000])
def test_a_term_of_any_length_has_a_rate_above_nothing_to_its_end(recipe: Recipe, steps: int) -> None:
    other = recipe.lasting(steps)
    rates = [other.rate_at(step) for step in range(steps)]
    assert len(rates) == other.steps
    assert min(rates) > 0
    assert max(rates) <= recipe.rate
    assert recipe.lasting(recipe.steps) == recipe
    if steps >= 2 * recipe.steps:
        begun = [course.start / other.steps for course in other.courses]
        assert begun == pytest.approx([course.start / recipe.steps for course in recipe.courses], abs=1e-4)


@needs_muon
def test_every_trained_parameter_has_one_optimiser_and_only_matrices_decay() -> None:
    sam = build_sam("nano")
    groups = [group for optimiser in build_optimisers(sam, TINY) for group in optimiser.param_groups]
    held = [parameter for group in groups for parameter in group["params"]]
    trained = [parameter for parameter in sam.parameters() if parameter.requires_grad]
    assert sorted(map(id, held)) == sorted(map(id, trained))
    assert all(p.ndim == 2 for group in groups if group["weight_decay"] > 0 for p in group["params"])


@pytest.mark.slow
@needs_muon
def test_an_encoder_that_rests_stays_as_it_was(tmp_path: Path) -> None:
    pupil = begin(0)
    before = {name: weight.clone() for name, weight in pupil.state_dict().items()}
    after = train(replace(TINY, steps=1, encoder_rests=True), tmp_path, pupil, save_every=1).state_dict()
    changed = {name.split(".")[0] for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed <= {"mask_decoder", "prompt_encoder"}
    assert "mask_decoder" in changed


@pytest.mark.slow
@needs_muon
def test_school_goes_on_where_it_was_left(tmp_path: Path) -> None:
    def kill(term: int, *_: object) -> None:
        if term == 2:
            raise Killed

    with pytest.raises(Killed):
        teach(tmp_path, steps=1, report=kill)
    first = (tmp_path / "term-1" / "curve.csv").read_text()
    sam = teach(tmp_path, steps=1)
    assert (tmp_path / "term-1" / "curve.csv").read_text() == first, "the first term is not taught again"
    assert sam.anatomy == anatomy("nano")


@pytest.mark.slow
@needs_muon
@pytest.mark.parametrize("changed", [{"seed": 1}, {"steps": 2}])
def test_a_finished_term_of_another_recipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int]
) -> None:
    monkeypatch.setattr(terms, "TERMS", ((TINY, 64, 64),))
    teach(tmp_path, steps=1)
    taught = (tmp_path / "term-1" / "model" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="another recipe"):
        teach(tmp_path, **{"steps": 1, "seed": 0, **changed})
    (tmp_path / "term-1" / "last.pt").unlink()
    teach(tmp_path, **{"steps": 1, "seed": 0, **changed})
    assert (tmp_path / "term-1" / "model" / "model.safetensors").read_bytes() == taught


@pytest.mark.slow
def test_nano_never_learns_from_the_scenes_it_is_judged_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def note(recipe: Recipe, _: Path, pupil: Sam, **__: object) -> Sam:
        seeds.append(recipe.seed)
        return pupil

    monkeypatch.setattr(terms, "train", note)
    for seed in range(3):
        teach(tmp_path / str(seed), seed=seed)
    assert len(seeds) == 3 * len(terms.TERMS)
    assert HELD_OUT not in seeds
    assert all(seed % 2 == 0 for seed in seeds)


@pytest.mark.slow
def test_a_promoted_sam_answers_as_before_on_pictures_of_its_old_size() -> None:
    """Position tables resampled to a larger square and back give nearly the same; all else is untouched."""
    small = begin(0)
    torch.nn.init.normal_(small.vision_encoder.pos_embed, std=0.02)
    large = promote(small, 256)
    same = [name for name, weight in large.state_dict().items() if weight.shape == small.state_dict()[name].shape]
    changed = set(large.state_dict()) - set(same)
    assert {name.rsplit(".", 1)[1] for name in changed} == {"pos_embed", "rel_pos_h", "rel_pos_w"}
    assert all(torch.equal(large.state_dict()[name], small.state_dict()[name]) for name in same)
    constant = begin(0)
    torch.nn.init.constant_(constant.vision_encoder.pos_embed, 0.3)
    assert (promote(constant, 256).vision_encoder.pos_embed - 0.3).abs().max() < 1e-6
