"""SFDD-H8 on files made in exactly its format: 16 bytes a pixel, masks beside them, tiles that join again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensam.data.loader import Loader
from sensam.data.published import open_sfdd_h8
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.errors import InputError
from sensam.run.assembly import with_statistics

Save = Callable[..., Path]
SIDE = 64


def cube(number: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 16), np.uint8)


@pytest.fixture
def root(tmp_path: Path, save: Save) -> Path:
    for folder, numbers in {"train_all": (1, 2, 3), "val_2021": (4,)}.items():
        (tmp_path / folder).mkdir()
        for number in numbers:
            np.save(tmp_path / folder / f"2019_{number}.npy", cube(number))
            fog_HW = (cube(number)[..., 0] > 200).astype(np.uint8) * 255
            save(tmp_path / folder / f"conn_2019_{number}_300_sp.png", fog_HW[None])
    return tmp_path


def test_pixels_masks_and_splits(root: Path) -> None:
    dataset = open_sfdd_h8(root)
    assert {name: [item.key for item in items] for name, items in dataset.splits.items()} == {
        "train": ["2019_1", "2019_2", "2019_3"],
        "test": ["2019_4"],
    }
    item = dataset.items("train")[1]
    raster = dataset.read(item)
    assert np.array_equal(raster.pixels_CHW, cube(2).transpose(2, 0, 1))
    assert raster.bands[0] == "B01"
    assert raster.bands[-1] == "B16"
    assert np.array_equal(dataset.read_label(item), cube(2)[..., 0] > 200)
    assert dataset.classes == ("clear", "sea fog")


def test_scaled_as_the_authors_scale(root: Path) -> None:
    (batch,) = Loader(EvaluationStream(open_sfdd_h8(root), "test"), batch_size=1)
    assert np.allclose(batch.image_BCHW[0].numpy(), cube(4).transpose(2, 0, 1) / 255 - 0.5, atol=1e-6)


def test_standardised_by_its_training_split_when_asked(root: Path) -> None:
    dataset = with_statistics(open_sfdd_h8(root, statistics="measured"), "train")
    batches = Loader(EvaluationStream(dataset, "train"), batch_size=1)
    bands_CN = torch.cat([batch.image_BCHW for batch in batches]).transpose(0, 1).flatten(1)
    assert bands_CN.mean(1).abs().max() < 0.01
    assert (bands_CN.std(1) - 1).abs().max() < 0.01
    assert {band.valid_range for band in dataset.sensor.bands} == {(-0.5, 0.5)}  # what E2SAM's `raw` goes by


def test_the_lowest_and_highest_byte_are_valid(tmp_path: Path) -> None:
    np.savez(tmp_path / "ends.npz", x=np.array([[[0] * 16, [255] * 16]], np.uint8))
    dataset = open_sfdd_h8(tmp_path, "inherit")
    decoded = dataset.sensor.decode(dataset.read(dataset.items("train")[0]))
    assert decoded.valid_CHW.all()
    assert {band.valid_range for band in dataset.sensor.bands} == {(decoded.pixels_CHW.min(), decoded.pixels_CHW.max())}


def test_npz_with_the_array_x(root: Path) -> None:
    for path in root.glob("*/*.npy"):
        np.savez_compressed(path.with_suffix(".npz"), x=np.load(path))
        path.unlink()
    dataset = open_sfdd_h8(root)
    assert np.array_equal(dataset.read(dataset.items("test")[0]).pixels_CHW, cube(4).transpose(2, 0, 1))
    assert len(dataset.labelled("train")) == 3


def test_inheritance_takes_flat_files_without_masks(tmp_path: Path) -> None:
    for number in range(3):
        np.savez(tmp_path / f"h8_{number}.npz", x=cube(number))
    dataset = open_sfdd_h8(tmp_path, "inherit")
    stream = TrainingStream(dataset, "train", size=32, labels=False)
    assert [item.key for item in dataset.items("train")] == ["h8_0", "h8_1", "h8_2"]
    assert len(stream) == 12
    assert stream[0].stored_CHW.shape == (16, 32, 32)
    assert stream[0].label_HW is None


def test_grey_counts_from_one_half_and_masks_of_another_size_are_stretched(tmp_path: Path, save: Save) -> None:
    from torch import from_numpy
    from torch.nn.functional import interpolate

    for folder in ("train_all", "val_2021"):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "train_all/a.npy", cube(0))
    grey_HW = np.random.default_rng(7).integers(0, 256, (24, 24), np.uint8)
    save(tmp_path / "train_all/conn_a_300_sp.png", grey_HW[None])
    np.save(tmp_path / "train_all/b.npy", cube(1)[:2, :2])
    save(tmp_path / "train_all/conn_b_300_sp.png", np.array([[[0, 127], [128, 255]]], np.uint8))
    dataset = open_sfdd_h8(tmp_path)
    a, b = dataset.items("train")
    assert dataset.read_label(b).tolist() == [[0, 0], [1, 1]]  # type: ignore[union-attr]
    theirs = interpolate(from_numpy(grey_HW / 255.0)[None, None].float(), (SIDE, SIDE), mode="bilinear")[0, 0] >= 0.5
    found = dataset.read_label(a)
    assert found is not None
    assert (found == theirs.numpy()).mean() > 0.999  # a grey of exactly one half may round either way


def test_two_by_two_tiles_join_to_the_image_and_score_the_same(root: Path) -> None:
    dataset = open_sfdd_h8(root)
    tiles = EvaluationStream(dataset, "train", size=SIDE // 2)
    whole = EvaluationStream(dataset, "train")
    assert len(tiles) == 4 * len(whole)
    for number, item in enumerate(dataset.items("train")):
        stored_CHW, label_HW = np.zeros_like(whole[number].stored_CHW), np.full_like(whole[number].label_HW, 255)
        for place in range(4 * number, 4 * number + 4):
            found, (row, column, rows, columns) = tiles.places[place]
            assert found == item
            stored_CHW[:, row : row + rows, column : column + columns] = tiles[place].stored_CHW
            label_HW[row : row + rows, column : column + columns] = tiles[place].label_HW
        assert np.array_equal(stored_CHW, whole[number].stored_CHW)
        assert np.array_equal(label_HW, whole[number].label_HW)  # type: ignore[arg-type]

    def confusion(stream: EvaluationStream) -> Any:
        """Against a fixed guess from one band, pixel by pixel."""
        counts = np.zeros((2, 2), int)
        for sample in stream:
            np.add.at(counts, (sample.label_HW, (sample.stored_CHW[3] > 100).astype(int)), 1)
        return counts

    assert np.array_equal(confusion(tiles), confusion(whole))


def test_a_crop_is_the_same_for_image_and_mask(root: Path) -> None:
    for sample in TrainingStream(open_sfdd_h8(root), "train", size=24, length=12):
        assert np.array_equal(sample.stored_CHW[0] > 200, sample.label_HW == 1)


def test_another_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train_all and .*val_2021 not found"):
        open_sfdd_h8(tmp_path)
