"""Radar stretches and polarization: against closed formulas, and against what angles do wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.encodings import encode_polarization, stokes, stretch
from sensam.data.raster import Raster
from sensam.errors import InputError, SettingsError

angles = st.floats(-np.pi / 2 + 1e-3, np.pi / 2 - 1e-3)
degrees_of = st.floats(0.01, 1.0)


def raster_of(**bands):
    planes = [np.atleast_2d(np.asarray(plane, np.float32)) for plane in bands.values()]
    pixels = np.stack(planes)
    return Raster(pixels, np.ones(pixels.shape, bool), tuple(bands), is_decoded=False)


def behind_polarizers(intensity, degree, angle):
    """What an ideal camera sees behind each polarizer (law of Malus for partly polarized light)."""
    turned = {name: np.deg2rad(float(name)) for name in ("0", "45", "90", "135")}
    seen = {name: intensity / 2 * (1 + degree * np.cos(2 * (angle - turn))) for name, turn in turned.items()}
    return raster_of(**seen)


def plane(raster, name):
    return raster.pixels_CHW[raster.bands.index(name)]


class TestStretch:
    slc = raster_of(**{"VV.real": [[3, 0, 1]], "VV.imag": [[4, 0, 0]]})

    @pytest.mark.parametrize(
        ("shown", "expected", "valid"),
        [
            ("amplitude", [5, 0, 1], [True] * 3),
            ("intensity", [25, 0, 1], [True] * 3),
            ("db", [10 * np.log10(25), 0, 0], [True, False, True]),
        ],
    )
    def test_complex(self, shown, expected, valid):
        result = stretch(self.slc, "complex", shown)
        assert result.bands == ("VV",)
        assert result.pixels_CHW[0, 0] == pytest.approx(expected)
        assert result.valid_CHW[0, 0].tolist() == valid

    @settings(deadline=None)
    @given(st.floats(1e-6, 1e6))
    def test_amplitude_and_intensity_agree(self, amplitude):
        both = [raster_of(a=[[amplitude]]), raster_of(a=[[np.float32(amplitude) ** 2]])]
        found = [
            stretch(raster, kind, "db").pixels_CHW.item()
            for raster, kind in zip(both, ("amplitude", "intensity"), strict=True)
        ]
        assert found == pytest.approx([20 * np.log10(amplitude)] * 2, rel=1e-4, abs=1e-4)
        back = stretch(both[1], "intensity", "amplitude").pixels_CHW.item()
        assert back == pytest.approx(amplitude, rel=1e-6)

    def test_limits_are_given_and_not_taken_from_the_image(self):
        raster = raster_of(a=[[0, 50, 100, 200, 400]])
        whole = stretch(raster, "amplitude", "amplitude", (100, 200)).pixels_CHW[0, 0]
        assert whole.tolist() == [0, 0, 0, 1, 1]
        alone = stretch(raster_of(a=[[150]]), "amplitude", "amplitude", (100, 200))
        assert alone.pixels_CHW.item() == 0.5

    @settings(deadline=None)
    @given(st.integers(1, 7))
    def test_a_tile_is_its_part_of_the_whole(self, cut):
        raster = raster_of(a=np.random.default_rng(0).gamma(1.0, 100, (6, 8)))
        whole = stretch(raster, "amplitude", "db", (0, 60)).pixels_CHW
        part = stretch(raster_of(a=raster.pixels_CHW[0, :, :cut]), "amplitude", "db", (0, 60)).pixels_CHW
        assert part.tobytes() == np.ascontiguousarray(whole[:, :, :cut]).tobytes()

    def test_mistakes(self):
        with pytest.raises(SettingsError, match="must rise, found 2 and 1"):
            stretch(self.slc, "complex", "db", (2, 1))
        with pytest.raises(InputError, match=r"come as NAME\.real and NAME\.imag; found a"):
            stretch(raster_of(a=[[1]]), "complex", "db")
        with pytest.raises(InputError, match=r"found VV\.real"):
            stretch(raster_of(**{"VV.real": [[1]]}), "complex", "db")
        stated = Raster(
            self.slc.pixels_CHW, self.slc.valid_CHW, self.slc.bands, is_decoded=False, scaling=((2, 0), None)
        )
        with pytest.raises(InputError, match="Decode the image before"):
            stretch(stated, "complex", "db")


class TestPolarization:
    @settings(deadline=None)
    @given(st.floats(1, 1e4), degrees_of, angles)
    def test_stokes_and_back(self, intensity, degree, angle):
        parameters = stokes(behind_polarizers(intensity, degree, angle))
        assert plane(parameters, "s0").item() == pytest.approx(intensity, rel=1e-5)
        encoded = encode_polarization(parameters, "radians")
        assert encoded.bands == ("s0", "aolp", "dolp")
        assert plane(encoded, "dolp").item() == pytest.approx(degree, rel=1e-3, abs=1e-5)
        wrapped = (plane(encoded, "aolp").item() - angle + np.pi / 2) % np.pi - np.pi / 2
        assert abs(wrapped) < 1e-4 / degree

    @pytest.mark.parametrize("degrees", [0, 30, 60, 90, 120, 150])
    def test_every_direction_comes_back_modulo_half_a_turn(self, degrees):
        encoded = encode_polarization(stokes(behind_polarizers(1.0, 0.75, np.deg2rad(degrees))), "radians")
        assert plane(encoded, "dolp").item() == pytest.approx(0.75, abs=1e-6)
        turned = (np.rad2deg(plane(encoded, "aolp").item()) - degrees + 90) % 180 - 90
        assert turned == pytest.approx(0, abs=1e-4)

    @settings(deadline=None)
    @given(degrees_of, angles)
    def test_degree_times_sine_and_cosine(self, degree, angle):
        encoded = encode_polarization(stokes(behind_polarizers(1.0, degree, angle)), "weighted")
        assert encoded.bands == ("s0", "dolpsin2aolp", "dolpcos2aolp")
        assert plane(encoded, "dolpsin2aolp").item() == pytest.approx(degree * np.sin(2 * angle), abs=1e-6)
        assert plane(encoded, "dolpcos2aolp").item() == pytest.approx(degree * np.cos(2 * angle), abs=1e-6)

    @settings(deadline=None)
    @given(degrees_of, angles)
    def test_sine_and_cosine_of_twice_the_angle(self, degree, angle):
        encoded = encode_polarization(stokes(behind_polarizers(100.0, degree, angle)))
        assert encoded.bands == ("s0", "dolp", "sin2aolp", "cos2aolp")
        assert plane(encoded, "sin2aolp").item() == pytest.approx(np.sin(2 * angle), abs=1e-4 / degree)
        assert plane(encoded, "cos2aolp").item() == pytest.approx(np.cos(2 * angle), abs=1e-4 / degree)

    @pytest.mark.parametrize(("true", "folded"), [(30, 30), (120, 30), (60, -30), (150, -30)])
    def test_the_folded_angle_is_what_the_published_loader_made(self, true, folded):
        parameters = stokes(behind_polarizers(200.0, 0.5, np.deg2rad(true)))
        encoded = encode_polarization(parameters, "folded")
        assert np.rad2deg(plane(encoded, "aolp").item()) == pytest.approx(folded, abs=1e-3)
        assert plane(encoded, "s0").item() == pytest.approx(200 + 1e-4, rel=1e-6)

    def test_the_folded_angle_without_s1(self):
        encoded = encode_polarization(raster_of(s0=[[2]], s1=[[0]], s2=[[1]]), "folded")
        assert plane(encoded, "aolp").item() == pytest.approx(np.arctan(1 / 1e-4) / 2)

    def test_resizing_stokes_is_right_where_resizing_angles_is_wrong(self):
        """Two neighbours at +89 and -89 degrees are almost the same direction: 90, and not 0."""
        fine = stokes(behind_polarizers(np.full((1, 2), 100.0), 1.0, np.deg2rad([[89.0, -89.0]])))
        halved = fine.pixels_CHW.mean(axis=2, keepdims=True)
        coarse = Raster(halved, np.ones(halved.shape, bool), fine.bands)
        direct = encode_polarization(coarse, "radians")
        assert abs(np.rad2deg(plane(direct, "aolp").item())) == pytest.approx(90, abs=1e-3)
        assert plane(direct, "dolp").item() == pytest.approx(np.cos(np.deg2rad(2)), abs=1e-5)
        averaged_angle = plane(encode_polarization(fine, "radians"), "aolp").mean()
        assert np.rad2deg(averaged_angle) == pytest.approx(0, abs=1e-3)  # what an image library would have done

    def test_colour_cameras(self):
        bands = {
            f"{angle}.{colour}": [[1.0 + place]]
            for angle in ("0", "45", "90", "135")
            for place, colour in enumerate("rgb")
        }
        encoded = encode_polarization(stokes(raster_of(**bands)))
        assert encoded.bands[:3] == ("s0.r", "s0.g", "s0.b")
        assert encoded.bands[-1] == "cos2aolp.b"
        assert encoded.pixels_CHW[:3].ravel().tolist() == [2, 4, 6]

    def test_light_without_polarization_has_no_direction(self):
        encoded = encode_polarization(raster_of(s0=[[5]], s1=[[0]], s2=[[0]]))
        assert encoded.pixels_CHW.ravel().tolist() == [5, 0, 0, 0]
        assert encoded.valid_CHW.all()

    def test_darkness_and_missing_pixels_are_not_valid(self):
        seen = behind_polarizers(np.array([[0.0, 10.0, 10.0]]), 0.5, 0.2)
        seen.valid_CHW[2, 0, 2] = False
        encoded = encode_polarization(stokes(seen))
        assert encoded.valid_CHW[:, 0].tolist() == [[False, True, False]] * 4
        assert np.isfinite(encoded.pixels_CHW).all()

    @pytest.mark.parametrize("missing", ["0", "90"])
    def test_a_missing_polarizer(self, missing):
        raster = raster_of(**{name: [[1]] for name in ("0", "45", "90", "135") if name != missing})
        with pytest.raises(InputError, match=f"lack {missing}"):
            stokes(raster)
