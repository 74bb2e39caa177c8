"""The demonstration walks the whole road, again over its own folder, and never over anybody else's."""

from pathlib import Path

import pytest
import rasterio
from PIL import Image

from sensam.cli.demo import _print_table
from sensam.data.synthetic import family
from sensam.errors import InputError
from sensam.evaluate.walk import Budget, _seed_of_scene, walk
from sensam.train.confusion import MIOU_MEANS
from tests.cli.conftest import Run

TINY = Budget(
    unlabelled=2, labelled=1, val=1, test=1, size=32, window=32, scene=64, inherit_steps=1, learn_steps=1, batch=1
)


@pytest.mark.slow
def test_the_walk_ends_with_scores_maps_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    for _ in range(2):  # the second time over what the first left
        walked = walk(tmp_path, TINY, say=said.append)
    assert [line[0] for line in said] == ["1", "2", "3", "4"] * 2
    assert set(walked.scores) == set(walked.files) == {"scratch", "e2sam"}
    _print_table(walked)
    assert MIOU_MEANS in capsys.readouterr().out
    for file in walked.files.values():
        with rasterio.open(file) as made:
            assert (made.width, made.height, made.crs.to_epsg()) == (64, 64, 32651)
            assert made.colormap(1)
    with Image.open(walked.picture) as picture:
        assert picture.width > 3 * picture.height


def test_the_scene_that_is_mapped_shows_every_class_and_is_not_the_datas() -> None:
    seed = _seed_of_scene(0, (512, 512))
    shown = family("seafog").make(seed, 0, (512, 512)).label_HW
    assert seed > 0
    assert set(range(len(family("seafog").classes))) <= set(shown.ravel().tolist())


def test_nobody_elses_folder_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not from a demonstration"):
        walk(tmp_path, TINY)
    assert (tmp_path / "runs" / "mine.txt").read_text() == "keep"


def test_the_folder_where_all_commands_keep_their_runs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Name another"):
        walk(Path(), TINY)
    assert not any(tmp_path.iterdir())


def test_a_file_in_the_way(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("mine")
    assert run("demo", tmp_path / "taken") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: Cannot write to {tmp_path / 'taken'}: ")
