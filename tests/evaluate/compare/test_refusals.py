"""What a comparison cannot decide is refused before anything is trained, and what failed is told at its end."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sensam.data.dataset import open_dataset
from sensam.errors import InputError, SettingsError
from sensam.evaluate.compare.cell import Bench
from sensam.evaluate.compare.gather import gather
from sensam.evaluate.compare.plan import Plan
from sensam.evaluate.compare.runner import prepare

MakePlan, MakeBench = Callable[..., Plan], Callable[[Plan], Bench]


def test_splits_must_be_three(make_plan: MakePlan, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="three different splits"):
        prepare(make_plan(methods=["scratch"], test_split="val"), tmp_path)
    with pytest.raises(InputError, match="no split 'exam'"):
        prepare(make_plan(methods=["scratch"], test_split="exam"), tmp_path)


def test_a_test_split_without_a_label_is_refused_before_anything_is_trained(
    make_plan: MakePlan, drive_data: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(drive_data, bare)
    dataset = open_dataset(bare)
    for item in dataset.items("test"):
        assert item.mask is not None
        Image.new("L", (32, 32), dataset.ignore).save(item.mask)
    with pytest.raises(InputError, match="No pixel of split test of drive is labelled"):
        prepare(make_plan(methods=["scratch"], data=str(bare)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_every_cell_failed_their_reasons_are_told(make_plan: MakePlan, make_bench: MakeBench) -> None:
    bench = make_bench(make_plan(methods=["scratch", "unet"], seeds=2))
    with pytest.raises(InputError, match=r"no finished cell\. Run the comparison first"):
        gather(bench.plan, bench.folder)
    for cell in bench.plan.cells():
        bench.file(cell, ".failed").parent.mkdir(exist_ok=True)
        bench.file(cell, ".failed").write_text("It became NaN. Lower the rate.\n")
    with pytest.raises(InputError) as caught:
        gather(bench.plan, bench.folder)
    assert str(caught.value).endswith(
        "What failed: scratch: It became NaN. Lower the rate; unet: It became NaN. Lower the rate. "
        "Mend it, then compare again with --retry."
    )


def test_methods_without_class_maps_are_refused_at_once(make_plan: MakePlan, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="answers clicks, not class maps"):
        prepare(make_plan(methods=["zeroshot"]), tmp_path)
