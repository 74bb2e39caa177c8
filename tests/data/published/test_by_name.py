"""A dataset.yaml that names a published layout, and what can be wrong with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sensam.data.dataset import open_dataset
from sensam.data.published import __all__ as openers
from sensam.data.published.by_name import LAYOUTS
from sensam.data.published.ivrg import open_ivrg_nir
from sensam.data.settings_text import write_statistics
from sensam.errors import SettingsError
from sensam.run import load, train
from tests.data.published.imitations import imitate_ivrg


@pytest.fixture
def named(tmp_path: Path, save: Callable[..., Path]) -> Path:
    root = imitate_ivrg(tmp_path, save)
    path = tmp_path / "near.yaml"
    path.write_text(f"published: ivrg-nir\nroot: {root.name}\nmodality: nir\n")
    return path


def test_every_layout_has_a_name() -> None:
    assert {opener.__name__ for opener in LAYOUTS.values()} == set(openers)


def test_it_is_the_layout_with_its_options(named: Path) -> None:
    found, direct = open_dataset(named), open_ivrg_nir(named.parent / "NIRimages_nir", "nir")
    assert found.sensor == direct.sensor
    assert found.splits == direct.splits


@pytest.mark.slow
def test_a_method_learns_from_it(named: Path, tiny_sam: Path, tmp_path: Path) -> None:
    short = {"steps": 2, "batch": 1, "size": 8, "workers": 0, "validations": 0}
    settings = {"regions": "label", "amount": 2}
    out = tmp_path / "run"
    train(named, method="simmat", teacher=str(tiny_sam), settings=settings, out=out, quiet=True, **short)
    assert load(out).sensor.band_names == open_dataset(named).sensor.band_names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("published: ivrg\nroot: .\n", "ivrg-nir"),
        ("published: ivrg-nir\n", "root is missing"),
        ("published: ivrg-nir\nroot: .\nmodalty: nir\n", "Did you mean 'modality'"),
        ("published: ivrg-nir\nroot: .\nmodality: heat\n", r"modality: Input should be 'nir' or 'rgb\+nir'"),
        ("published: nyu-depth\nroot: ${NOWHERE_AT_ALL}\n", "NOWHERE_AT_ALL"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=complaint) as caught:
        open_dataset(path)
    assert "\n" not in str(caught.value)


def test_statistics_have_no_place_in_it(named: Path) -> None:
    before = named.read_text()
    with pytest.raises(SettingsError, match="Every run measures them"):
        write_statistics(named, {}, "train")
    assert named.read_text() == before
