"""Loading: the same batches for any number of workers and processes, every sample once, normalised as sensors do."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sensam.data.augment import Augment
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.loader import Loader, collate, deal, share
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.errors import InputError, SettingsError
from sensam.types import Batch

Save = Callable[..., Path]


@pytest.fixture
def dataset(make_set: Any) -> Dataset:
    small = make_set({"train": 7, "val": 3})
    every = {"mean": 1000, "std": 200, "valid_range": [700, 2000], "unit": "K"}
    small.settings["sensor"] = {"name": "s", "every_band": every, "bands": ["band_0", "band_1"]}
    return open_dataset(small.yaml)


def stream(dataset: Dataset, **settings: Any) -> TrainingStream:
    augment = Augment(flip_rows=True, turn=True, gain=0.2, noise=0.05)
    return TrainingStream(dataset, "train", **{"size": 12, "seed": 1, "augment": augment} | settings)


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return [batch.keys for batch in one] == [batch.keys for batch in other] and all(
        torch.equal(a.image_BCHW, b.image_BCHW)
        and torch.equal(a.valid_BHW, b.valid_BHW)
        and torch.equal(torch.as_tensor(a.label_BHW), torch.as_tensor(b.label_BHW))
        for a, b in zip(one, other, strict=True)
    )


@given(count=st.integers(1, 60), batch=st.integers(1, 7), world=st.integers(1, 5), least=st.integers(1, 3))
def test_every_index_once_and_work_for_all_in_every_step(count: int, batch: int, world: int, least: int) -> None:
    least = min(least, batch)
    steps = deal(count, batch, world, least)
    assert [index for step in steps for index in step] == list(range(count))
    parts = [[share(step, rank, world) for rank in range(world)] for step in steps]
    assert [[i for part in ranks for i in part] for ranks in parts] == [list(step) for step in steps]
    if count >= least * world:
        assert all(len(part) >= least for ranks in parts for part in ranks)
    for ranks in parts[:-1]:
        assert [len(part) for part in ranks] == [batch] * world
    assert max(len(part) for part in parts[-1]) <= batch + least


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")  # on a machine with two cores
def test_workers_change_nothing(dataset: Dataset) -> None:
    alone = Loader(stream(dataset), batch_size=2)
    plain = [list(alone.epoch(epoch)) for epoch in range(2)]
    assert not equal(*plain)
    for workers in (1, 3):
        loader = Loader(stream(dataset), batch_size=2, workers=workers)
        assert all(equal(list(loader.epoch(epoch)), plain[epoch]) for epoch in range(2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")  # on a machine with two cores
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_two_processes_together_see_what_one_sees(dataset: Dataset, workers: int) -> None:
    one = list(Loader(stream(dataset), batch_size=4).epoch(1))
    ranks = [
        list(Loader(stream(dataset), batch_size=2, workers=workers, rank=rank, world=2).epoch(1)) for rank in range(2)
    ]
    assert [len(batches) for batches in ranks] == [len(one)] * 2
    for whole, first, second in zip(one, *ranks, strict=True):
        assert whole.keys == first.keys + second.keys
        assert torch.equal(whole.image_BCHW, torch.cat([first.image_BCHW, second.image_BCHW]))
    assert sorted(key for batches in ranks for batch in batches for key in batch.keys) == sorted(
        item.key for item in dataset.items("train")
    )


def _run_rank(rank: int, yaml: Path, results: Any) -> None:
    torch.set_num_threads(1)
    loader = Loader(stream(open_dataset(yaml)), batch_size=2, rank=rank, world=2)
    results.put((rank, [(batch.keys, batch.image_BCHW.double().sum().item()) for batch in loader.epoch(0)]))


@pytest.mark.slow
def test_processes_that_share_nothing_agree(dataset: Dataset) -> None:
    yaml = dataset.spec.root / "dataset.yaml"
    context = torch.multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_run_rank, args=(rank, yaml, results)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    whole = list(Loader(stream(dataset), batch_size=4).epoch(0))
    assert [batch.keys for batch in whole] == [a[0] + b[0] for a, b in zip(found[0], found[1], strict=True)]
    for batch, (_, first), (_, second) in zip(whole, found[0], found[1], strict=True):
        assert np.isclose(batch.image_BCHW.double().sum().item(), first + second, rtol=1e-9)


def test_a_stopped_epoch_goes_on_where_it_was(dataset: Dataset) -> None:
    loader = Loader(stream(dataset), batch_size=2)
    assert len(loader) == 4
    assert equal(list(loader.epoch(2, start=2)), list(loader.epoch(2))[2:])
    assert equal(list(loader), list(loader.epoch(0)))


def test_loading_leaves_the_model_s_random_numbers_alone(dataset: Dataset) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    list(Loader(stream(dataset), batch_size=2).epoch(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_batch_is_what_the_sensor_makes_of_the_image(dataset: Dataset) -> None:
    (batch,) = Loader(EvaluationStream(dataset, "val"), batch_size=3)
    assert batch.image_BCHW.dtype == torch.float32
    assert batch.label_BHW is not None
    assert batch.label_BHW.dtype == torch.int64
    for row, item in enumerate(dataset.items("val")):
        decoded = dataset.sensor.decode(dataset.read(item))
        assert torch.allclose(batch.image_BCHW[row], torch.from_numpy(dataset.sensor.normalise(decoded)), atol=1e-5)
        assert np.array_equal(batch.valid_BHW[row], decoded.valid_HW)
        assert not decoded.valid_HW.all()
        expected = np.where(decoded.valid_HW, dataset.read_label(item), 255)
        assert np.array_equal(batch.label_BHW[row], expected)
        assert (batch.image_BCHW[row].numpy()[~decoded.valid_CHW] == 0).all()


HIDDEN = 120  # what stands where there is nothing, and must never be seen


def write_with_holes(folder: Path, kind: str, holes_HW: NDArray[np.bool_]) -> dict[str, Any]:
    """Three bands of 5, and no data in the holes, said in one of the ways in which files say it."""
    filler = {"nodata": -9999, "rule": -9999, "NaN": np.nan, "mapped NaN": np.nan}.get(kind, HIDDEN)
    dtype = {"nodata": "float32", "NaN": "float32", "mapped NaN": "float32", "rule": "int16", "fill value": "int16"}
    stored_CHW = np.where(holes_HW, filler, 5).astype(dtype.get(kind, "uint8"))[None].repeat(3, 0)
    if kind == "mapped NaN":
        np.save(folder / "a.npy", stored_CHW)
    elif kind == "fill value":
        with h5py.File(folder / "a.nc", "w") as file:
            for name, plane_HW in zip("xyz", stored_CHW, strict=True):
                file[name] = plane_HW
                file[name].attrs["_FillValue"] = np.int16(HIDDEN)
    elif kind == "alpha":
        there_HW = np.where(holes_HW, 0, 255).astype(np.uint8)
        Image.fromarray(np.concatenate([stored_CHW, there_HW[None]]).transpose(1, 2, 0), "RGBA").save(folder / "a.png")
    else:
        facts = {"driver": "GTiff", "count": 3, "height": 20, "width": 20, "dtype": stored_CHW.dtype.name}
        facts |= {"nodata": -9999} if kind == "nodata" else {}
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(folder / "a.tif", "w", **facts) as file:
            file.write(stored_CHW)
            if kind == "mask band":
                file.write_mask(~holes_HW)
    return {"nodata": -9999} if kind == "rule" else {}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["nodata", "rule", "NaN", "mapped NaN", "mask band", "alpha", "fill value"])
def test_what_is_no_data_in_a_file_is_none_in_the_batch(tmp_path: Path, save: Save, kind: str) -> None:
    from sensam.data.layout import parse_spec

    holes_HW = np.zeros((20, 20), bool)
    holes_HW[:, 4:8] = holes_HW[15, 15] = True
    rule = write_with_holes(tmp_path, kind, holes_HW)
    save(tmp_path / "masks/a.png", np.ones((1, 20, 20), np.uint8))
    every = {"mean": 3, "std": 2, "unit": "DN", "valid_range": [0, 200], **rule}
    (path,) = tmp_path.glob("a.*")
    files = {"images": f"*{path.suffix}", "masks": "masks/*.png", "classes": ["land", "water"]}
    data = Dataset(
        parse_spec({"sensor": {"name": "s", "every_band": every, "bands": [*"xyz"]}, **files}, base=tmp_path)
    )

    (batch,) = Loader(EvaluationStream(data, "train"), batch_size=1)
    assert np.array_equal(batch.valid_BHW[0], ~holes_HW)
    assert np.array_equal(batch.label_BHW[0], np.where(holes_HW, 255, 1))  # type: ignore[index]
    assert np.array_equal(batch.image_BCHW[0], np.where(holes_HW, 0, 1).astype(np.float32)[None].repeat(3, 0))

    moved = Augment(flip_rows=True, flip_columns=True, turn=True, scale=(0.5, 2.0))
    for augment in (moved, moved.model_copy(update={"gain": 0.5, "offset": 1.0, "noise": 1.0})):
        for batch in Loader(TrainingStream(data, "train", size=16, length=6, augment=augment), batch_size=2):
            valid_BCHW = batch.valid_BHW[:, None].expand(-1, 3, -1, -1)
            assert batch.label_BHW is not None
            assert 0 < valid_BCHW.float().mean() < 1
            assert torch.equal(batch.label_BHW, torch.where(batch.valid_BHW, 1, 255))
            assert (batch.image_BCHW[~valid_BCHW] == 0).all()
            seen = batch.image_BCHW[valid_BCHW]
            assert (seen.min() >= -1.5) if augment.has_light else bool((seen - 1).abs().max() < 1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
def test_every_stored_type_reaches_the_batch(tmp_path: Path, save: Save, dtype: str) -> None:
    from sensam.data.layout import parse_spec

    pixels = np.arange(2 * 25).reshape(2, 5, 5).astype(dtype)
    save(tmp_path / "a.tif", pixels)
    sensor = {"name": "s", "every_band": {"mean": 2, "std": 4}, "bands": ["a", "b"]}
    data = Dataset(parse_spec({"sensor": sensor, "images": "*.tif"}, base=tmp_path))
    (batch,) = Loader(EvaluationStream(data, "train", labels=False), batch_size=1)
    assert batch.label_BHW is None
    assert bool(batch.valid_BHW.all())
    assert np.allclose(batch.image_BCHW[0].numpy(), (pixels.astype(float) - 2) / 4)


def test_images_of_several_sizes_are_filled_up_with_what_is_not_valid(tmp_path: Path, save: Save) -> None:
    from sensam.data.layout import parse_spec

    for key, size in {"a": (4, 6), "b": (5, 3)}.items():
        save(tmp_path / f"{key}.tif", np.full((1, *size), 7, np.uint8))
        save(tmp_path / f"{key}.png", np.ones((1, *size), np.uint8))
    sensor = {"name": "s", "bands": [{"name": "a", "mean": 0, "std": 1}]}
    files = {"sensor": sensor, "images": "*.tif", "masks": "*.png", "classes": ["x", "y"]}
    data = Dataset(parse_spec(files, base=tmp_path))
    (batch,) = Loader(EvaluationStream(data, "train"), batch_size=2)
    assert batch.image_BCHW.shape == (2, 1, 5, 6)
    valid = np.zeros((2, 5, 6), bool)
    valid[0, :4, :6] = valid[1, :5, :3] = True
    assert np.array_equal(batch.valid_BHW, valid)
    assert np.array_equal(batch.label_BHW, np.where(valid, 1, 255))  # type: ignore[arg-type]
    assert np.array_equal(batch.image_BCHW[:, 0], np.where(valid, 7, 0))


@pytest.mark.slow
def test_a_user_s_mistake_comes_out_of_a_worker_as_one_line(dataset: Dataset) -> None:
    broken = dataset.items("train")[3].images[0]
    broken.write_bytes(broken.read_bytes()[:500])
    for workers in (0, 1):
        complaint = complaint_of(Loader(stream(dataset, size=16), batch_size=2, workers=workers))
        assert complaint.startswith(str(broken))
        assert "\n" not in complaint
        assert not multiprocessing.active_children()  # nobody waits for a worker whose loader is gone


def complaint_of(loader: Loader) -> str:
    try:
        list(loader.epoch(0))
    except InputError as mistake:
        return str(mistake)
    pytest.fail("a broken file is a mistake")


def test_settings_that_make_no_sense(dataset: Dataset) -> None:
    with pytest.raises(SettingsError, match="make no sense"):
        Loader(stream(dataset), batch_size=0)
    with pytest.raises(SettingsError, match="rank 2 of 2"):
        Loader(stream(dataset), batch_size=1, rank=2, world=2)
    with pytest.raises(InputError, match="7 samples cannot feed 8 processes"):
        Loader(stream(dataset), batch_size=1, world=8)


def test_integers_stay_integers_until_the_device(dataset: Dataset) -> None:
    still = TrainingStream(dataset, "train", size=8)
    assert collate([still[0], still[1]], 255).stored_BCHW.dtype == torch.uint16
    assert collate([stream(dataset)[0]], 255).stored_BCHW.dtype == torch.float32  # noise is no integer
