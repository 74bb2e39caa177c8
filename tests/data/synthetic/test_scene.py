"""What every family promises: pure scenes of any size, with labels, bands and values as its sensor says."""

import numpy as np
import pytest

from sensam.data.synthetic import FAMILIES, Family, family
from sensam.errors import InputError, SettingsError

NAMES = ("seafog", "drive", "sar", "sar:dual", "panorama", "modality", "modality:polarization", "modality:depth")
SIZES = ((64, 200), (37, 53), (16, 16), (61, 18))
ALL = pytest.mark.parametrize("of", [family(name) for name in NAMES], ids=NAMES)


def test_there_are_five_families() -> None:
    assert tuple(FAMILIES) == ("seafog", "drive", "sar", "modality", "panorama")


@ALL
def test_a_scene_depends_on_its_arguments_only(of: Family) -> None:
    first = of.make(3, 5, (40, 48))
    of.make(3, 6, (40, 48))
    np.random.default_rng(0).random(10)
    again = of.make(3, 5, (40, 48))
    np.testing.assert_array_equal(first.raster.pixels_CHW, again.raster.pixels_CHW)
    np.testing.assert_array_equal(first.raster.valid_CHW, again.raster.valid_CHW)
    np.testing.assert_array_equal(first.label_HW, again.label_HW)
    assert first.meta == again.meta
    assert first.domain == again.domain


@ALL
def test_seed_and_index_and_domain_each_change_the_scene(of: Family) -> None:
    usual = of.make(3, 5, (40, 48)).raster.pixels_CHW
    others = [of.make(4, 5, (40, 48)), of.make(3, 6, (40, 48))]
    others += [of.make(3, 5, (40, 48), domain=name) for name in of.domains if name != of.make(3, 5, (40, 48)).domain]
    assert not any(np.array_equal(usual, other.raster.pixels_CHW) for other in others)


@ALL
def test_the_usual_domain_is_one_of_the_family_and_naming_it_changes_nothing(of: Family) -> None:
    usual = of.make(0, 1, (32, 32))
    named = of.make(0, 1, (32, 32), domain=usual.domain)
    np.testing.assert_array_equal(usual.raster.pixels_CHW, named.raster.pixels_CHW)
    assert len(of.domain_shares) == len(of.domains)
    assert sum(of.domain_shares) == pytest.approx(1)


@ALL
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_gives_values_and_labels_in_their_ranges(of: Family, size: tuple[int, int]) -> None:
    for domain in of.domains:
        scene = of.make(1, 2, size, domain=domain)
        assert scene.domain == domain
        assert scene.raster.bands == of.sensor.band_names
        assert scene.raster.pixels_CHW.shape == (len(of.sensor.bands), *size)
        assert scene.raster.pixels_CHW.dtype == np.float32
        assert scene.label_HW.shape == size
        assert scene.label_HW.dtype == np.uint8
        assert set(np.unique(scene.label_HW)) <= {*range(len(of.classes)), 255}
        assert np.isfinite(scene.raster.pixels_CHW).all()
        for band, pixels, valid in zip(of.sensor.bands, scene.raster.pixels_CHW, scene.raster.valid_CHW, strict=True):
            assert band.valid_range is not None
            low, high = band.valid_range
            assert (pixels[valid] >= low).all(), band.name
            assert (pixels[valid] <= high).all(), band.name
            assert (pixels[~valid] == 0).all(), "what means nothing is 0"


@pytest.mark.slow
@ALL
def test_every_class_occurs(of: Family) -> None:
    seen = {int(k) for index in range(14) for k in np.unique(of.make(2, index, (48, 64)).label_HW)}
    assert seen >= set(range(len(of.classes)))


@pytest.mark.slow
@ALL
def test_the_sensor_states_the_statistics_of_its_scenes(of: Family) -> None:
    made = [of.make(11, i, (24, 32), domain=of.domains[i % len(of.domains)]) for i in range(24)]
    mean, std = of.sensor.statistics
    for band in range(len(of.sensor.bands)):
        values = np.concatenate([s.raster.pixels_CHW[band][s.raster.valid_CHW[band]] for s in made])
        assert abs(values.mean() - mean[band]) < 0.4 * std[band]
        assert 0.6 < values.std() / std[band] < 1.6


def test_a_domain_can_have_its_own_geometry() -> None:
    of = family("panorama")
    assert of.sensor.geometry == "equirectangular"
    assert of.sensor_of("perspective").geometry == "perspective"
    assert (of.sensor_of("fisheye").geometry, of.sensor_of("fisheye").fov_deg) == ("fisheye", 180)
    assert of.sensor_of("panorama") == of.sensor_of(None) == of.sensor


def test_misspelt_names_are_answered_with_the_right_one() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'modality:polarization'"):
        family("modality:polarisation")
    with pytest.raises(SettingsError, match="Did you mean 'night'"):
        family("drive").make(0, 0, (32, 32), domain="nite")


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match="negative"):
        family("sar").make(-1, 0, (32, 32))
    with pytest.raises(InputError, match="at least 16 rows"):
        family("sar").make(0, 0, (32, 8))
