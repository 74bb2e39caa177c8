"""Training nano: a killed run goes on to the same weights, and will not go on with another recipe."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sensam.errors import InputError
from sensam.sam.nano import training
from sensam.sam.nano.training import Recipe, build_optimisers, train

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="teaching nano needs torch 2.9")
TINY = Recipe(steps=4, middle=4, late=4, batch=1, warm_up=2, fall=(2, 6), landing=1)


class Killed(Exception):
    pass


@needs_muon
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train(TINY, tmp_path / "whole", save_every=2)

    def kill(row: dict[str, float]) -> None:
        if row["step"] == 2:
            raise Killed

    with pytest.raises(Killed):
        train(TINY, tmp_path / "killed", save_every=2, report=kill)
    resumed = train(TINY, tmp_path / "killed", save_every=2)
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0, msg=name)
    curves = [(tmp_path / run / "curve.csv").read_text().splitlines() for run in ("whole", "killed")]
    assert [line.rsplit(",", 1)[0] for line in curves[0]] == [line.rsplit(",", 1)[0] for line in curves[1]]


@needs_muon
def test_another_recipe_is_refused(tmp_path: Path) -> None:
    short = replace(TINY, steps=1)
    train(short, tmp_path, save_every=1)
    with pytest.raises(InputError, match=r"another recipe \(rate=0\.001\)"):
        train(replace(short, rate=0.5), tmp_path)


def test_the_rate_warms_up_stays_falls_and_lands() -> None:
    recipe = Recipe(steps=100, warm_up=10, fall=(50, 150), landing=10, rate=1.0)
    rates = [recipe.rate_at(step) for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert set(rates[10:51]) == {1.0}
    assert rates[51:94] == pytest.approx([(150 - step) / 100 for step in range(51, 94)])
    assert rates[95:] == pytest.approx([(100 - step) / 10 for step in range(95, 101)])


@needs_muon
def test_every_trained_parameter_has_one_optimiser_and_only_matrices_decay() -> None:
    sam = training.build_sam("nano")
    groups = [group for optimiser in build_optimisers(sam, TINY) for group in optimiser.param_groups]
    held = [parameter for group in groups for parameter in group["params"]]
    trained = [parameter for parameter in sam.parameters() if parameter.requires_grad]
    assert sorted(map(id, held)) == sorted(map(id, trained))
    assert all(p.ndim == 2 for group in groups if group["weight_decay"] > 0 for p in group["params"])
