"""The grid of parts: counts as trained, and prompts that cost a tenth of the encoder at most."""

import pytest

from sensam.errors import SettingsError
from sensam.evaluate.parts import Part, count_parts
from sensam.methods.tuning import STRATEGIES
from sensam.sam.anatomy import anatomy
from tests.sam.conftest import TINY


@pytest.fixture(scope="module")
def vit_b() -> dict[str, Part]:
    return {part.strategy: part for part in count_parts(anatomy("b"), 6, ["mat_conv"], STRATEGIES)}


@pytest.mark.parametrize(("name", "told"), [("foo", "no projector named 'foo'"), ("preconv(0,0,0)", "at least 1")])
def test_a_projector_that_is_none_is_told_in_one_line(name: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        list(count_parts(TINY, 6, [name], ["full"]))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_trained_parameters_are_those_of_the_method(vit_b: dict[str, Part]) -> None:
    trained = {name: part.trained for name, part in vit_b.items()}
    assert trained == {
        "full": 93_734_503,
        "probe": 3_741_571,
        "adapter": 3_908_979,
        "lora": 4_280_451,
        "prompt": 4_408_451,
        "prefix": 4_408_451,
    }


@pytest.mark.slow
def test_prompts_cost_less_than_a_tenth_of_the_encoder(vit_b: dict[str, Part]) -> None:
    plain = vit_b["full"].encoder_gflop
    assert 930 < plain < 983  # SAM's own count includes the windows' padding, which we leave out
    assert vit_b["prompt"].encoder_gflop < 1.1 * plain
    assert vit_b["lora"].encoder_gflop == pytest.approx(plain + 12 * 2 * 2 * 2 * 4096 * 768 * 100 / 1e9, rel=0.01)
    assert [round(vit_b[name].decoder_gflop, 1) for name in ("full", "prompt")] == [3.6, 5.8]


@pytest.mark.slow
def test_the_transfer_layer_costs_11_gflop(vit_b: dict[str, Part]) -> None:
    (zeroshot,) = count_parts(anatomy("b"), 6, ["zeroshot"], ["full"])
    assert vit_b["full"].encoder_gflop - zeroshot.encoder_gflop == pytest.approx(10.9, abs=0.1)
    assert zeroshot.sees == "the first bands only"


@pytest.mark.slow
def test_any_anatomy_and_amount() -> None:
    found = list(count_parts(TINY, 4, ["preattn(8,1,8)", "mat_gated"], ["prefix", "probe"], amount=8))
    assert len({(part.projector, part.strategy) for part in found}) == 4
    assert all(0 < part.trained < part.total and part.encoder_gflop > 0 for part in found)
