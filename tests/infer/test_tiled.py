"""Tiling changes nothing but memory: pointwise models, strips, resumed runs and panoramas."""

import errno
import os
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.errors import InputError
from sensam.infer.products import Product
from sensam.infer.scene import _pieces
from sensam.infer.schedule import beside, between
from sensam.infer.tiled import Layout, map_strip
from sensam.infer.workplace import Workplace

CLASSES = 3


@dataclass
class Image:
    """Stands for a Scene: pixels are logits."""

    pixels_CHW: np.ndarray
    valid_HW: np.ndarray

    @property
    def size(self):
        return self.valid_HW.shape

    def read(self, window, *, wraps=False):
        row, column, rows, columns = window
        height, width = self.size
        pixels = np.zeros((len(self.pixels_CHW), rows, columns), np.float32)
        valid = np.zeros((rows, columns), bool)
        bottom = min(height, row + rows)
        for place, start, stop in _pieces(column, columns, width, wraps=wraps):
            here = slice(0, bottom - row), slice(place, place + stop - start)
            pixels[:, *here] = self.pixels_CHW[:, row:bottom, start:stop]
            valid[here] = self.valid_HW[row:bottom, start:stop]
        return pixels, valid


def image(height, width, seed=0):
    random = np.random.default_rng(seed)
    return Image(random.normal(size=(CLASSES, height, width)).astype(np.float32), random.random((height, width)) > 0.2)


def softmax(logits_BKHW):
    power = np.exp(logits_BKHW - logits_BKHW.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def spread(image_BCHW):
    """A model that sees its neighbours, and its tile's edge as zeros."""
    padded = np.pad(image_BCHW, ((0, 0), (0, 0), (2, 2), (2, 2)))
    rows, columns = image_BCHW.shape[2:]
    near = sum(padded[..., a : a + rows, b : b + columns] for a in range(5) for b in range(5))
    return softmax(near / 5)


RAW = Product("raw", ("a", "b", "c"), "float32", 9, 1.0, lambda probability: probability.copy())


def run(scene, layout, predict=softmax, folder=None, strips=None, plan="plan", schedule=beside):
    with tempfile.TemporaryDirectory() as made:
        workplace = Workplace(Path(folder or made) / "place", plan, scene.size, (RAW,))
        valid = sum(
            map_strip(scene, predict, layout, workplace, strip=strip, schedule=schedule)
            for strip in strips or [layout.rows.own]
        )
        return workplace.read(RAW, (0, scene.size[0])), valid


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(6, 24).flatmap(lambda side: st.tuples(st.just(side), st.integers(0, side // 2))),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([beside, between]),
)
def test_for_a_pointwise_model_tiling_changes_nothing(height, width, tile, batch, wraps, schedule):
    scene = image(height, width)
    layout = Layout.of(scene.size, *tile, batch, CLASSES, wraps=wraps)
    found, valid = run(scene, layout, schedule=schedule)
    expected = np.where(scene.valid_HW, softmax(scene.pixels_CHW[None])[0], 9)
    assert np.abs(found - expected).max() < 1e-6
    assert valid == scene.valid_HW.sum()


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.integers(20, 80), st.integers(20, 50), st.integers(1, 5), st.integers(0, 8), st.booleans())
def test_strips_make_the_same_numbers_as_the_whole(height, width, parts, overlap, wraps):
    scene = image(height, width)
    layout = Layout.of(scene.size, 16, overlap, 2, CLASSES, wraps=wraps)
    whole, _ = run(scene, layout, spread)
    cuts = np.linspace(0, len(layout.rows.own), parts + 1).astype(int)
    strips = [layout.rows.own[a:b] for a, b in pairwise(cuts) if b > a]
    assert np.array_equal(run(scene, layout, spread, strips=strips)[0], whole)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 2, 5, 9])
@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize(("schedule", "batch"), [(beside, 2), (between, 2), (between, 1)])
def test_a_killed_run_goes_on_with_what_was_done(tmp_path, stop, wraps, schedule, batch):
    scene = image(50, 61)
    layout = Layout.of(scene.size, 16, 5, batch, CLASSES, wraps=wraps)
    whole, valid = run(scene, layout, spread)
    calls = []

    def failing(batch):
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(len(batch))
        return spread(batch)

    with pytest.raises(KeyboardInterrupt):
        run(scene, layout, failing, tmp_path, schedule=schedule)
    again = []

    def counting(batch):
        again.append(len(batch))
        return spread(batch)

    found, seen = run(scene, layout, counting, tmp_path, schedule=schedule)
    assert np.array_equal(found, whole)
    assert seen == valid
    assert len(again) < len(layout.steps())
    # What was in the writer's hands when the run died is done again, no more.
    assert len(again) + stop <= len(layout.steps()) + 3


@pytest.mark.parametrize("stop", [0, 1, 40, 150, 333])
@pytest.mark.parametrize(("schedule", "batch"), [(beside, 1), (beside, 2), (between, 1)])
def test_a_write_that_failed_leaves_no_gap_when_the_run_goes_on(tmp_path, monkeypatch, stop, schedule, batch):
    scene = image(50, 61)
    layout = Layout.of(scene.size, 16, 5, batch, CLASSES)
    whole, valid = run(scene, layout, spread)
    write, writes = os.pwrite, []

    def full_once(*words):
        writes.append(words)
        if len(writes) == stop + 1:
            time.sleep(0.05)  # meanwhile other batches come to wait behind this one
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*words)

    monkeypatch.setattr(os, "pwrite", full_once)
    with pytest.raises(InputError, match="Make room, then run the same again"):
        run(scene, layout, spread, tmp_path, schedule=schedule)
    found, seen = run(scene, layout, spread, tmp_path, schedule=schedule)
    assert np.array_equal(found, whole)
    assert seen == valid


def test_another_plan_begins_anew(tmp_path):
    scene = image(40, 40)
    layout = Layout.of(scene.size, 16, 4, 1, CLASSES)
    run(scene, layout, folder=tmp_path)
    calls = []
    run(scene, layout, lambda batch: (calls.append(1), softmax(batch))[1], tmp_path, plan="other")
    assert len(calls) == len(layout.steps())


def test_a_panorama_has_no_seam():
    """Turning a panorama turns its map, wherever the cut lies."""
    scene = image(20, 64)
    layout = Layout.of(scene.size, 20, 4, 2, CLASSES, wraps=True)
    assert layout.columns.starts[layout.columns.own.start + 1] == 16
    found, _ = run(scene, layout, spread)
    turned = Image(np.roll(scene.pixels_CHW, 16, 2), np.roll(scene.valid_HW, 16, 1))
    assert np.allclose(np.roll(found, 16, 2), run(turned, layout, spread)[0], atol=1e-6)
    cut, _ = run(scene, Layout.of(scene.size, 20, 4, 2, CLASSES), spread)
    assert not np.allclose(cut[:, :, 0], found[:, :, 0])  # without wrapping, the edge sees nothing beyond


def test_blending_leaves_no_visible_seam():
    """A model that contradicts itself from tile to tile as much as it can: the map still changes in small steps."""
    scene = image(60, 60)
    scene.valid_HW[:] = True
    sign = [1.0]

    def contradicting(batch):
        sign[0] = -sign[0]
        share = np.full((len(batch), 1, *batch.shape[2:]), 0.5 + 0.5 * sign[0], np.float32)
        return np.concatenate([share, 1 - share, 0 * share], 1)

    found, _ = run(scene, Layout.of(scene.size, 24, 8, 1, CLASSES), contradicting)
    assert found[0].max() - found[0].min() > 0.9
    assert np.abs(np.diff(found[0], axis=1)).max() < 0.25
    assert np.abs(np.diff(found[0], axis=0)).max() < 0.25


def test_tiles_without_data_are_not_predicted():
    scene = image(64, 64)
    scene.valid_HW[:, 30:] = False
    seen = []
    found, _ = run(scene, Layout.of(scene.size, 16, 0, 4, CLASSES), lambda b: (seen.append(len(b)), softmax(b))[1])
    assert sum(seen) == 8
    assert (found[:, :, 30:] == 9).all()


def test_mistakes_in_a_thread_reach_the_caller():
    scene = image(40, 40)

    def broken(*_, **__):
        raise ValueError("cannot read")

    scene.read = broken
    with pytest.raises(ValueError, match="cannot read"):
        run(scene, Layout.of(scene.size, 16, 4, 1, CLASSES))
