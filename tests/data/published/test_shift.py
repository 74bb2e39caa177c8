"""SHIFT on files made in exactly its format: metres from bytes, classes from the red channel, times of day."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sensam.data.dataset import Dataset
from sensam.data.loader import Loader
from sensam.data.published.shift import NOT_SCORED, open_shift, read_index
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.errors import InputError, SettingsError
from sensam.run.assembly import with_statistics

Save = Callable[..., Path]
FRAMES = {"0003-17fb/00000000": "daytime", "0003-17fb/00000010": "night", "00a2-91ee/00000000": "dawn/dusk"}
COLOUR_311 = np.array([200, 128, 40], np.uint8)[:, None, None]
DEPTH_HW = np.array([[0, 1, 255, 256], [65535, 65536, 2**24 - 2, 2**24 - 1]])
CLASS_HW = np.array([[0, 3, 4, 10], [13, 22, 7, 21]])


def bytes_of(value_HW: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Red is the lowest byte, blue the highest."""
    return np.stack([value_HW & 255, value_HW >> 8 & 255, value_HW >> 16 & 255]).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path, save: Save) -> Path:
    lines = []
    for key, time in FRAMES.items():
        save(tmp_path / f"imgRGB/{key}_img_front.jpg", np.broadcast_to(COLOUR_311, (3, 2, 4)))
        save(tmp_path / f"depth/{key}_depth_front.png", bytes_of(DEPTH_HW))
        mask = np.stack([CLASS_HW, CLASS_HW * 0 + 9, CLASS_HW * 0 + 77]).astype(np.uint8)
        save(tmp_path / f"semseg/{key}_semseg_front.png", mask)
        lines += [f"imgRGB/{key}_img_front.jpg,{time}", ""]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    return tmp_path


def opened(root: Path, **settings: object) -> Dataset:
    return open_shift(root, {"train": root / "train.txt"}, **settings)  # type: ignore[arg-type]


def test_metres_from_bytes_in_the_right_order(root: Path) -> None:
    dataset = opened(root)
    depth_HW = dataset.read(dataset.items("train")[0]).pixels_CHW[3].astype(np.float64)
    red, green, blue = bytes_of(DEPTH_HW).astype(np.float64)
    metres_HW = (65536 * blue + 256 * green + red) * 1000 / (2**24 - 1)
    assert np.allclose(np.expm1(depth_HW), metres_HW, rtol=2e-6, atol=1e-7)
    assert np.allclose(depth_HW, np.log1p(DEPTH_HW / (2**24 - 1) * 1000), rtol=1e-6)
    assert abs(depth_HW[1, 3] - 6.9088) < 5e-5  # 1000 m, the sky
    wrong_HW = (65536 * red + 256 * green + blue) * 1000 / (2**24 - 1)
    assert not np.allclose(np.expm1(depth_HW), wrong_HW, rtol=0.01)
    # A reader that gives blue first must use the weights the other way round for the same metres.
    bgr = bytes_of(DEPTH_HW)[::-1].astype(np.float64)
    assert np.allclose((65536 * bgr[0] + 256 * bgr[1] + bgr[2]) * 1000 / (2**24 - 1), metres_HW)


def test_colours_come_red_first(root: Path) -> None:
    dataset = opened(root)
    colours = dataset.read(dataset.items("train")[0]).pixels_CHW[:3].astype(np.float64).mean((1, 2))
    assert np.allclose(colours, COLOUR_311[:, 0, 0], atol=4)  # JPEG rounds


def test_classes_come_from_the_red_channel(root: Path) -> None:
    dataset = opened(root)
    assert len(dataset.classes) == 23
    assert dataset.classes[10] == "vehicle"
    assert np.array_equal(dataset.read_label(dataset.items("train")[0]), CLASS_HW)


def test_fourteen_classes_leave_out_what_the_toolkit_does_not_score(root: Path) -> None:
    dataset = opened(root, classes=14)
    assert len(dataset.classes) == 14
    label_HW = dataset.read_label(dataset.items("train")[0])
    assert label_HW is not None
    scored = ~np.isin(CLASS_HW, NOT_SCORED)
    assert (label_HW[~scored] == 255).all()
    names = [dataset.classes[number] for number in label_HW[scored]]
    assert names == ["pedestrian", "vehicle", "sky", "terrain", "road"]  # class 10, the vehicles, is scored
    with pytest.raises(SettingsError, match="23 classes, or the 14"):
        opened(root, classes=10)


def test_colours_and_depth_as_the_authors_feed_them(root: Path) -> None:
    (batch, *_) = Loader(EvaluationStream(opened(root), "train"), batch_size=1)
    assert batch.image_BCHW.shape == (1, 4, 2, 4)
    assert np.allclose(batch.image_BCHW[0, :3].numpy(), COLOUR_311 / 255, atol=4 / 255)
    assert np.allclose(batch.image_BCHW[0, 3].numpy(), np.log1p(DEPTH_HW / (2**24 - 1) * 1000), atol=1e-5)


def test_standardised_by_its_training_split_when_asked(root: Path) -> None:
    dataset = with_statistics(opened(root, statistics="measured"), "train")
    (batch, *_) = Loader(EvaluationStream(dataset, "train"), batch_size=1)
    assert batch.image_BCHW[:, 3].mean().abs() < 0.01
    assert abs(batch.image_BCHW[:, 3].std(correction=0) - 1) < 0.01
    assert dataset.sensor.bands[3].valid_range == opened(root).sensor.bands[3].valid_range


def test_all_that_can_be_stored_is_valid(root: Path) -> None:
    dataset = opened(root)
    decoded = dataset.sensor.decode(dataset.read(dataset.items("train")[0]))
    assert decoded.valid_CHW.all(), "from 0 m to the sky"
    *colours, depth = (band.valid_range for band in dataset.sensor.bands)
    assert colours == [(0, 1)] * 3
    assert depth == (0, pytest.approx(6.9088, abs=5e-5))


def test_stretching_adds_no_class(root: Path) -> None:
    sample = TrainingStream(opened(root), "train", size=16, fit="stretch")[0]
    assert sample.size == (16, 16)
    assert set(np.unique(sample.label_HW)) == set(CLASS_HW.ravel())


def test_times_of_day_are_domains(root: Path) -> None:
    items = opened(root).items("train")
    assert {item.key: item.domain for item in items} == FRAMES
    assert [item.key for item in opened(root, only="night").items("train")] == ["0003-17fb/00000010"]
    with pytest.raises(SettingsError, match="Did you mean 'night'"):
        opened(root, only="nigth")


def test_any_form_of_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    for form in (root, str(root), f"{root}/", root.name, f"./{root.name}/"):
        assert len(open_shift(form, {"train": root / "train.txt"}).items("train")) == 3


def test_index_files(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    lines = ["", "  imgRGB/s/1_img_front.jpg , night ", "", "/data/imgRGB/s/2_img_front.jpg,night"]
    path.write_text("\n".join([*lines, "s/3_img_front.jpg,dawn/dusk", ""]))
    assert read_index(path) == {"night": ("s/1", "s/2"), "dawn/dusk": ("s/3",)}
    for text, answer in {
        "imgRGB/s/1_img_front.jpg\n": "line 1: .* has no time of day",
        "imgRGB/s/1_img_front.jpg,\n": "has no time of day",
        "\n\nimgRGB/s/1.jpg,night": "line 3: .* is not SEQ/FRAME_img_front.jpg",
        "\n\n": "lists no image",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=answer):
            read_index(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_index(tmp_path / "gone.txt")


def test_a_listed_frame_that_is_not_there(root: Path) -> None:
    (root / "depth/0003-17fb/00000010_depth_front.png").unlink()
    with pytest.raises(InputError, match=r"1 listed frames are not under .* \(first: 0003-17fb/00000010\)"):
        opened(root)
