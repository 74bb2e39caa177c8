"""The cut in the spectrum: exact on pure waves, real and signed; and what the authors' square does instead."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensam.nn.lowpass import FrequencyFilter, keep_low, keep_square

sides = st.integers(8, 40)


def wave(H: int, W: int, row: int, column: int, phase: float = 0.3) -> Tensor:
    """One frequency alone: so many periods down and across."""
    y, x = torch.meshgrid(torch.arange(H) / H, torch.arange(W) / W, indexing="ij")
    return torch.cos(2 * math.pi * (row * y + column * x) + phase)[None, None].double().float()


@settings(deadline=None, max_examples=60)
@given(H=sides, W=sides, data=st.data())
def test_waves_below_the_cut_stay_and_those_above_vanish(H: int, W: int, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, H // 2)), data.draw(st.integers(0, W // 2))
    kept = row / H <= 0.25 and column / W <= 0.25
    image = wave(H, W, row, column)
    found = keep_low(image, 0.25)
    torch.testing.assert_close(found, image if kept else torch.zeros_like(image), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=30)
@given(H=sides, W=sides, rate=st.floats(0.01, 1.0))
def test_it_is_a_real_projection_of_any_image(H: int, W: int, rate: float) -> None:
    image = torch.randn(1, 2, H, W, generator=torch.Generator().manual_seed(H * 41 + W))
    low = keep_low(image, rate)
    torch.testing.assert_close(keep_low(low, rate), low, atol=1e-5, rtol=0)
    cut = math.sqrt(rate) / 2 + 1e-6
    mask = (torch.fft.fftfreq(H).abs() <= cut)[:, None] & (torch.fft.fftfreq(W).abs() <= cut)
    whole = torch.fft.ifft2(torch.fft.fft2(image) * mask)
    assert whole.imag.abs().max() < 1e-5
    torch.testing.assert_close(low, whole.real, atol=1e-5, rtol=0)


def test_dark_and_bright_stay_apart_and_signed() -> None:
    dark, bright = torch.full((1, 1, 17, 24), -2.1), torch.full((1, 1, 17, 24), 2.3)
    keep = FrequencyFilter("low")
    torch.testing.assert_close(keep(dark), dark)
    torch.testing.assert_close(keep(bright), bright)
    folded = FrequencyFilter("low", as_published=True)
    torch.testing.assert_close(folded(dark), -dark)  # the authors' magnitude: dark water is as bright as a building


def test_everything_is_kept_at_rate_one() -> None:
    image = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(keep_low(image, 1.0), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(keep_square(image, 1.0, inside=True), image.abs(), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 1024])
def test_the_authors_square_written_out(side: int) -> None:
    image = torch.randn(1, 2, side, side)
    mask, half = torch.zeros(side, side), side // 4
    mask[side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 1
    assert mask.mean() == 0.25
    shifted = torch.fft.fftshift(torch.fft.fft2(image, norm="forward"), dim=(-2, -1)) * mask
    theirs = torch.fft.ifft2(torch.fft.ifftshift(shifted, dim=(-2, -1)), norm="forward")
    assert theirs.imag.square().mean().sqrt() > 0.01 * theirs.real.square().mean().sqrt()  # what they drop
    torch.testing.assert_close(FrequencyFilter("low", as_published=True)(image), theirs.real.abs(), atol=1e-6, rtol=0)
    rest = torch.fft.fftshift(torch.fft.fft2(image, norm="forward"), dim=(-2, -1)) * (1 - mask)
    high = torch.fft.ifft2(torch.fft.ifftshift(rest, dim=(-2, -1)), norm="forward").real.abs()
    torch.testing.assert_close(FrequencyFilter("high", as_published=True)(image), high, atol=1e-5, rtol=0)
    both = FrequencyFilter("both", as_published=True)(image)
    torch.testing.assert_close(both, torch.cat([high, theirs.real.abs()], 1), atol=1e-5, rtol=0)
    constant = torch.full((1, 1, side, side), 0.7)
    torch.testing.assert_close(FrequencyFilter("low", as_published=True)(constant), constant)


def test_fast_and_slow_add_up_to_the_image() -> None:
    image = torch.randn(2, 3, 20, 31)
    high, low = FrequencyFilter("high")(image), FrequencyFilter("low")(image)
    torch.testing.assert_close(high + low, image)
    both = FrequencyFilter("both")(image)
    torch.testing.assert_close(both, torch.cat([high, low], 1))


@pytest.mark.parametrize("kept", ["low", "high", "both"])
@pytest.mark.parametrize("as_published", [False, True])
def test_equal_planes_are_filtered_once(kept: str, as_published: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    filter = FrequencyFilter(kept, as_published=as_published)  # type: ignore[arg-type]
    seen: list[int] = []
    split = filter._split
    monkeypatch.setattr(filter, "_split", lambda image: [seen.append(image.shape[1]), split(image)][1])
    one = torch.randn(2, 1, 16, 16)
    expanded, copied = one.expand(-1, 3, -1, -1), one.repeat(1, 3, 1, 1)
    torch.testing.assert_close(filter(expanded), filter(copied), atol=1e-6, rtol=0)
    assert seen == [1, 3]


def test_the_rate_is_used_and_other_precisions_come_back_as_they_were() -> None:
    image = torch.randn(1, 1, 32, 32)
    assert not torch.allclose(FrequencyFilter("low", 0.25)(image), FrequencyFilter("low", 0.0625)(image), atol=1e-2)
    assert FrequencyFilter("low")(image.bfloat16()).dtype == torch.bfloat16
    assert FrequencyFilter("low")(image.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(FrequencyFilter("low")(image), FrequencyFilter("low")(image.clone()))
