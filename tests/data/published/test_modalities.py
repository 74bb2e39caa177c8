"""Heat, depth, near infrared and polarization on files made in exactly the published layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sensam.data.checks.inspection import inspect
from sensam.data.clicks import RegionRule, find_regions
from sensam.data.dataset import Dataset
from sensam.data.loader import Loader
from sensam.data.published.ivrg import open_ivrg_nir
from sensam.data.published.nyu import open_nyu_depth
from sensam.data.published.pgsnet import LEFT_OUT, open_rgbp_glass
from sensam.data.published.rgbt import open_rgbt_glass
from sensam.data.published.zju import open_zju_rgbp
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.errors import InputError, SettingsError
from sensam.run.assembly import fit_dataset
from sensam.sensors import Sensor
from sensam.types import Batch
from tests.data.published.imitations import MASK, imitate_ivrg, picture

Save = Callable[..., Path]


def only(dataset: Dataset, split: str) -> Batch:
    (batch,) = Loader(EvaluationStream(dataset, split), batch_size=9)
    return batch


def save_array(path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


@pytest.fixture
def ivrg(tmp_path: Path, save: Save) -> Path:
    return imitate_ivrg(tmp_path, save)


def test_near_infrared_alone_and_behind_colour(ivrg: Path) -> None:
    batch = only(open_ivrg_nir(ivrg), "train")
    assert batch.keys == ("country/0001",)
    assert batch.image_BCHW.shape == (1, 4, 8, 8)
    expected = (picture(0, 1)[0] / 255 - 0.5038) / 0.2059
    assert np.allclose(batch.image_BCHW[0, 3], expected, atol=1e-5)
    alone = only(open_ivrg_nir(ivrg, "nir"), "test")
    assert alone.image_BCHW.shape == (1, 1, 8, 8)
    assert batch.label_BHW is not None
    regions = find_regions(batch.label_BHW[0].numpy(), RegionRule(ignore=256))
    assert len(regions) == 3  # 1, 7 and 255, which is a region's number here


def test_a_listed_file_that_is_not_there_or_not_named_so(ivrg: Path) -> None:
    (ivrg / "labels/water.png").unlink()
    with pytest.raises(InputError, match=r"1 listed files of split test are not there \(first: .*water\.png"):
        open_ivrg_nir(ivrg)
    (ivrg / "IVRG-nir_train_GroundTruth.csv").write_text("country/0001.png,labels/country.png\n")
    with pytest.raises(InputError, match="is not <scene>/NIRimages"):
        open_ivrg_nir(ivrg)
    (ivrg / "IVRG-nir_train_GroundTruth.csv").write_text("one column\n")
    with pytest.raises(InputError, match="needs 2 columns"):
        open_ivrg_nir(ivrg)


@pytest.fixture
def rgbt(tmp_path: Path, save: Save) -> Path:
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for number, (split, scene) in enumerate((("train", "lab"), ("train", "noglass_hall"), ("test", "shop"))):
        folder = tmp_path / scene / "0"
        save(folder / "rgb.png", picture(number))
        save(folder / "mask.png", np.where(MASK == 7, 255, 0).astype(np.uint8)[None])
        heat = 290 + picture(number + 5, 1)[0] / 10.0
        save_array(folder / "temperature.npy", (heat if scene != "shop" else heat * 0 + 300).astype(np.float32))
        rows[split].append(f"{scene}/0/rgb.png,{scene}/0/mask.png")
    for split, lines in rows.items():
        (tmp_path / f"RGB_T_Glass_{split}_GroundTruth.csv").write_bytes("\n".join(lines).encode("gbk"))
    return tmp_path


def test_heat_stays_kelvin_or_is_stretched_as_published(rgbt: Path) -> None:
    fixed = open_rgbt_glass(rgbt)
    assert [item.key for item in fixed.items("train")] == ["lab/0"]  # the scene without glass is left out
    stored = fixed.read(fixed.items("train")[0]).pixels_CHW[3]
    heat = 290 + picture(5, 1)[0] / 10.0
    assert np.allclose(stored, heat)
    own = open_rgbt_glass(rgbt, "thermal", "own range")
    scaled = (heat - heat.min()) / (heat.max() - heat.min())
    assert np.allclose(only(own, "train").image_BCHW[0, 0], (scaled - 0.3563) / 0.2166, atol=1e-4)
    whole, part = own.read(own.items("train")[0]), own.read(own.items("train")[0], (2, 1, 3, 4))
    assert np.array_equal(part.pixels_CHW, whole.pixels_CHW[:, 2:5, 1:5])  # the range is the image's, not the window's
    cut = open_rgbt_glass(rgbt, "thermal", "own percentiles")
    low, high = np.percentile(heat, (2, 98))
    expected = np.clip((heat - low) / (high - low), 0, 1)
    assert np.allclose(cut.read(cut.items("train")[0]).pixels_CHW[0], expected, atol=1e-4)
    with pytest.raises(SettingsError, match="Did you mean 'own range'"):
        open_rgbt_glass(rgbt, "thermal", "own rang")  # type: ignore[arg-type]
    constant = only(open_rgbt_glass(rgbt, "rgb+thermal", "own range"), "test")
    assert constant.image_BCHW.isfinite().all()
    assert np.allclose(constant.image_BCHW[0, 3], -0.3563 / 0.2166, atol=1e-5)
    assert constant.label_BHW is not None
    assert constant.label_BHW.unique().tolist() == [0, 1]


def test_a_model_takes_the_scaling_that_it_learnt_and_no_other(rgbt: Path) -> None:
    own = open_rgbt_glass(rgbt, "thermal", "own range")
    learnt = Sensor.from_dict(own.sensor.to_dict())  # as it travels in a model's config.json
    assert learnt.bands[0].unit == "own range"
    again = fit_dataset(open_rgbt_glass(rgbt, "thermal", "own range"), learnt)
    assert torch.equal(only(again, "train").image_BCHW, only(own, "train").image_BCHW)
    for other in ("fixed", "own percentiles"):
        with pytest.raises(SettingsError, match="unit of thermal"):
            fit_dataset(open_rgbt_glass(rgbt, "thermal", other), learnt)  # type: ignore[arg-type]
    raw = learnt.decode(open_rgbt_glass(rgbt, "thermal").read(own.items("train")[0]))
    assert not raw.valid_CHW.any()  # kelvins are no shares of a range


@pytest.fixture
def nyu(tmp_path: Path, save: Save) -> Path:
    lists = {"train": ["1", "398"], "test": ["2"]}
    for split, names in lists.items():
        (tmp_path / f"{split}.txt").write_text("".join(f"RGB/{n}.jpg\tLabel/{n}.png\n" for n in names))
    for number in (1, 2):
        save(tmp_path / f"RGB/{number}.jpg", picture(number))
        save(tmp_path / f"HHA/{number}.jpg", picture(number + 3))
        save(tmp_path / f"Mask_gt/{number}.png", MASK[None])
        depth = (1 + picture(number, 1)[0] / 100).astype(np.float32)
        depth[0, :3] = 0
        save_array(tmp_path / f"Depth/{number}.npy", depth)
    return tmp_path


def test_distances_in_metres_with_holes_or_in_the_images_own_range(nyu: Path) -> None:
    dataset = open_nyu_depth(nyu)
    assert [item.key for item in dataset.items("train")] == ["1"]  # 398 cannot be read
    decoded = dataset.sensor.decode(dataset.read(dataset.items("train")[0]))
    assert not decoded.valid_CHW[3, 0, :3].any()
    assert decoded.valid_CHW[3].sum() == 61
    own = open_nyu_depth(nyu, "depth", "own range")
    batch = only(own, "train")
    depth = 1 + picture(1, 1)[0] / 100
    held = np.ones((8, 8), bool)
    held[0, :3] = False
    low, high = depth[held].min(), depth[held].max()  # holes do not define the minimum
    expected = np.where(held, ((depth - low) / (high - low) - 0.4490) / 0.2260, 0)
    assert np.allclose(batch.image_BCHW[0, 0], expected, atol=1e-4)
    assert np.array_equal(batch.valid_BHW[0], held)
    assert len(open_nyu_depth(nyu, "hha").sensor.bands) == 3
    both = only(open_nyu_depth(nyu, "rgb+hha"), "train").image_BCHW
    assert both.shape == (1, 6, 8, 8)
    assert np.allclose(both[:, 3:], only(open_nyu_depth(nyu, "hha"), "train").image_BCHW, atol=1e-4)
    cut = open_nyu_depth(nyu, "depth", "own percentiles")
    assert np.array_equal(cut.read(cut.items("train")[0]).valid_CHW[0], held)
    with pytest.raises(SettingsError, match="modality of NYU Depth v2"):
        open_nyu_depth(nyu, "dept")  # type: ignore[arg-type]


@pytest.fixture
def pgsnet(tmp_path: Path, save: Save) -> Path:
    for split, keys in {"train": ["a1", LEFT_OUT[0]], "test": ["b1"]}.items():
        for number, key in enumerate(keys):
            for place, (folder, kind) in enumerate((("image", "rgb"), ("aolp", "aolp"), ("dolp", "dolp"))):
                made = save(tmp_path / f"{split}/{folder}/{key}_{kind}.tif", picture(10 * number + place))
                made.rename(made.with_suffix(".tiff"))
            save(tmp_path / f"{split}/instance_mask/{key}_instance_mask.png", MASK[None])
    return tmp_path


def test_stored_angles_and_twice_the_angle(pgsnet: Path) -> None:
    stored = open_rgbp_glass(pgsnet, angle="stored")
    assert [item.key for item in stored.items("train")] == ["a1"]
    batch = only(stored, "train")
    assert batch.image_BCHW.shape == (1, 9, 8, 8)
    assert np.allclose(batch.image_BCHW[0, 3], (picture(1)[0] / 255 - 0.4720) / 0.2820, atol=1e-5)
    doubled = open_rgbp_glass(pgsnet, "polarization")
    image = only(doubled, "train").image_BCHW[0].numpy()
    turn = 2 * np.pi * picture(1) / 256
    assert np.allclose(image[3:6] * 0.7071, np.sin(turn), atol=1e-5)
    assert np.allclose(image[6:9] * 0.7071, np.cos(turn), atol=1e-5)
    assert np.allclose(image[0] * 0.1168 + 0.1026, picture(2)[0] / 255, atol=1e-5)
    assert len(open_rgbp_glass(pgsnet).sensor.bands) == 12


@pytest.fixture
def zju(tmp_path: Path, save: Save) -> Path:
    for split in ("train", "val"):
        for place, angle in enumerate((0, 45, 90, 135)):
            save(tmp_path / f"{split}/{angle}/street_{angle}°.png", picture(place))
        save(tmp_path / f"{split}/label_sam/street.png", MASK[None])
    return tmp_path


def frames() -> list[np.ndarray]:  # type: ignore[type-arg]
    return [picture(place).astype(float) for place in range(4)]


def test_four_polarizers_as_stokes_and_as_published(zju: Path) -> None:
    i0, i45, i90, i135 = frames()
    dataset = open_zju_rgbp(zju, "stokes")
    read = dataset.read(dataset.items("train")[0])
    assert np.allclose(read.pixels_CHW, np.concatenate([(i0 + i45 + i90 + i135) / 2, i0 - i90, i45 - i135]))
    folded = only(open_zju_rgbp(zju, "folded"), "val").image_BCHW[0].numpy()
    q = np.where(i0 - i90 == 0, 1e-4, i0 - i90)
    assert np.allclose(folded[3] * 0.3850 - 0.0145, 0.5 * np.arctan((i45 - i135) / q)[0], atol=1e-4)
    total = (i0 + i45 + i90 + i135) / 2 + 1e-4
    assert np.allclose(folded[6] * 0.1334 + 0.1517, np.minimum(1, np.hypot(i0 - i90, i45 - i135) / total)[0], atol=1e-4)
    with pytest.raises(SettingsError, match="Did you mean 'weighted'"):
        open_zju_rgbp(zju, "weigthed")  # type: ignore[arg-type]


def test_an_encoding_stays_when_a_model_asks_for_its_bands(zju: Path) -> None:
    learnt = open_zju_rgbp(zju, "stokes").sensor.with_statistics([1.0] * 9, [2.0] * 9)
    fitted = fit_dataset(open_zju_rgbp(zju, "stokes"), learnt.select([*learnt.band_names[::-1]]))
    read = fitted.read(fitted.items("train")[0])
    assert read.bands == learnt.band_names[::-1]
    i0, _, i90, _ = frames()
    assert np.allclose(read.pixels_CHW[read.bands.index("s1.green")], (i0 - i90)[1])
    with pytest.raises(SettingsError, match="lacks"):
        fit_dataset(open_zju_rgbp(zju, "folded"), learnt)


def test_what_is_computed_from_files_can_be_checked(zju: Path) -> None:
    found = inspect(open_zju_rgbp(zju, "stokes"))
    assert [len(found.survey.of(split)) for split in ("train", "val")] == [1, 1]
    assert len(found.survey.bands) == 9


def test_degree_times_the_doubled_angle_is_normalised_stokes(zju: Path) -> None:
    i0, i45, i90, i135 = frames()
    dataset = open_zju_rgbp(zju)
    read = dataset.read(dataset.items("train")[0]).pixels_CHW
    total = (i0 + i45 + i90 + i135) / 2
    capped = np.maximum(1, np.hypot(i0 - i90, i45 - i135) / total)  # noise may polarize more than everything
    assert np.allclose(read[3:6], (i45 - i135) / total / capped, atol=1e-5)
    assert np.allclose(read[6:9], (i0 - i90) / total / capped, atol=1e-5)


def test_resizing_never_averages_an_angle(zju: Path) -> None:
    dataset = open_zju_rgbp(zju, "stokes")
    unit = dataset.sensor.with_statistics([0.0] * 9, [1.0] * 9)
    sample = TrainingStream(dataset.with_sensor(unit), "train", size=4, fit="stretch")[0]
    _, s1, s2 = np.split(sample.stored_CHW, 3)
    i0, i45, i90, i135 = frames()

    def halved(image: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return image.reshape(3, 4, 2, 4, 2).mean((2, 4))

    either = [np.flip(part, 2) if flip else part for flip in (False, True) for part in (s1, s2)]  # mirrored, perhaps
    expected = [halved(i0 - i90), halved(i45 - i135)]
    assert any(np.allclose(either[2 * n : 2 * n + 2], expected, atol=1e-3) for n in (0, 1))
