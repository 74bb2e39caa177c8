"""Label codec: every stored form gives the class it means; what is unknown is an error or ignored, never class 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensam.data.labels import LabelCodec
from sensam.data.layout import ClassSpec, LabelSpec
from sensam.errors import InputError, SettingsError

LAND, WATER, ROAD = ClassSpec(name="land"), ClassSpec(name="water"), ClassSpec(name="road")


def codec(*classes: ClassSpec, ignore: int = 255, **rule: object) -> LabelCodec:
    colours = tuple(entry.colour or (1, 2, position) for position, entry in enumerate(classes))
    return LabelCodec(classes, ignore, LabelSpec.model_validate(rule), colours)


def decoded(codec: LabelCodec, stored: object, dtype: str = "uint8", **given: object) -> list[int]:
    return codec.decode(np.array(stored, dtype)[None, None], where="m.png", **given).ravel().tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "int64"])
def test_index_in_any_type(dtype: str) -> None:
    ignore = 100
    assert decoded(codec(LAND, WATER, ignore=ignore), [0, 1, ignore], dtype) == [0, 1, ignore]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_negative_values_are_values(dtype: str) -> None:
    absent = {"name": "absent", "stored": -1}
    assert decoded(codec(LAND, WATER, ignored=[-1]), [-1, 0, 1], dtype) == [255, 0, 1]
    assert decoded(codec(LAND, ClassSpec.model_validate(absent)), [-1, 0], dtype) == [1, 0]
    with pytest.raises(InputError, match="holds -2 in"):
        decoded(codec(LAND, WATER), [-2, 0], dtype)


def test_an_unsigned_65535_is_not_minus_one() -> None:
    with pytest.raises(InputError, match="holds 65535 in"):
        decoded(codec(LAND, WATER, ignored=[-1]), [65535, 0], "uint16")


def test_an_unknown_value_is_an_error_with_its_number() -> None:
    with pytest.raises(InputError, match=r"m\.png holds 2, 7 in 3 pixels.*label\.ignored.*label\.unknown"):
        decoded(codec(LAND, WATER), [0, 2, 7, 7, 255])


@given(st.lists(st.integers(-5, 70_000), min_size=1, max_size=30))
def test_unknown_is_ignored_and_never_class_0(values: list[int]) -> None:
    found = decoded(codec(LAND, WATER, unknown="ignore"), values, "int32")
    assert found == [value if value in (0, 1) else 255 for value in values]


def test_stored_values_codes_and_merged_classes() -> None:
    farm = ClassSpec.model_validate({"name": "farm", "stored": [10, 20]})
    city = ClassSpec.model_validate({"name": "city", "stored": 30})
    assert decoded(codec(farm, city, ignored=[0]), [10, 20, 30, 0, 255]) == [0, 0, 1, 255, 255]
    with pytest.raises(InputError, match="holds 1 in"):
        decoded(codec(farm, city), [1, 10])


def test_value_divided_by_ten() -> None:
    assert decoded(codec(LAND, WATER, ROAD, divide=10), [0, 9, 10, 19, 29]) == [0, 0, 1, 1, 2]
    with pytest.raises(InputError, match="holds 25"):
        decoded(codec(LAND, WATER, ROAD, divide=10), [255])  # 255 // 10 is no class, and 255 is not asked for


def test_one_channel_of_rgb() -> None:
    stored_CHW = np.array([[[0, 1]], [[9, 9]], [[7, 7]]], np.uint8)
    assert codec(LAND, WATER, channel=0).decode(stored_CHW, where="m").tolist() == [[0, 1]]
    with pytest.raises(InputError, match="asks for band 3"):
        codec(LAND, WATER, channel=3).decode(stored_CHW, where="m")
    with pytest.raises(InputError, match=r"has 3 bands.*label\.channel.*palette"):
        codec(LAND, WATER).decode(stored_CHW, where="m")


def test_colours() -> None:
    red = ClassSpec.model_validate({"name": "building", "colour": "#ff0000"})
    blue = ClassSpec.model_validate({"name": "water", "colour": [0, 0, 255]})
    stored_CHW = np.array([[[255, 0, 0]], [[0, 0, 0]], [[0, 255, 0]]], np.uint8)  # red, blue, black
    with pytest.raises(InputError, match="#000000 in 1 pixels"):
        codec(red, blue, codec="palette").decode(stored_CHW, where="m")
    for lenient in ({"ignored": ["#000000"]}, {"unknown": "ignore"}):
        found_HW = codec(red, blue, codec="palette", **lenient).decode(stored_CHW, where="m")
        assert found_HW.tolist() == [[0, 1, 255]]
    assert codec(red, blue, codec="palette").unknown(stored_CHW, where="m") == {"#000000": 1}
    with pytest.raises(InputError, match="a mask of colours has 3"):
        codec(red, blue, codec="palette").decode(stored_CHW[:1], where="m")


def test_colours_keep_their_order_of_channels() -> None:
    red = ClassSpec.model_validate({"name": "a", "colour": "#ff0000"})
    blue = ClassSpec.model_validate({"name": "b", "colour": "#0000ff"})
    assert codec(red, blue, codec="palette").decode(np.array([0, 0, 255], np.uint8)[:, None, None], where="m") == 1


def test_nodata_of_the_file_is_ignored_unless_it_is_a_class() -> None:
    assert decoded(codec(LAND, WATER), [0, 1, 7], nodata=7) == [0, 1, 255]
    assert decoded(codec(LAND, WATER), [0, 1], nodata=0) == [0, 1]
    assert decoded(codec(LAND, WATER), [0.0, np.nan], "float32") == [0, 255]
    assert decoded(codec(LAND, WATER, divide=10), [0.0, np.nan, 10], "float32") == [0, 255, 1]


def test_black_and_white_masks_may_use_255_as_a_class() -> None:
    black = ClassSpec.model_validate({"name": "background", "stored": 0})
    white = ClassSpec.model_validate({"name": "foreground", "stored": 255})
    assert decoded(codec(black, white, ignore=254), [0, 255]) == [0, 1]


def test_fractions_and_clashing_settings_are_refused() -> None:
    with pytest.raises(InputError, match="holds fractions"):
        decoded(codec(LAND, WATER), [0.5], "float32")
    twice = (ClassSpec.model_validate({"name": name, "stored": 3}) for name in "ab")
    with pytest.raises(SettingsError, match="are both stored as 3"):
        decoded(codec(*twice), [3])
    text = ClassSpec.model_validate({"name": "a", "stored": "water"})
    with pytest.raises(SettingsError, match="only polygons"):
        decoded(codec(text), [3])
    number = ClassSpec.model_validate({"name": "a", "stored": 3})
    with pytest.raises(SettingsError, match="label: palette has colours"):
        codec(number, codec="palette").decode(np.zeros((3, 1, 1), np.uint8), where="m")


def test_many_classes_need_a_wider_type() -> None:
    many = tuple(ClassSpec(name=str(number)) for number in range(300))
    assert decoded(codec(*many, ignore=65535), [299, 0, 65535], "uint16") == [299, 0, 65535]
