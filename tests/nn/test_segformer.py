"""SegFormers: published sizes to the weight, any bands and sizes, levels that line up, no seam."""

from pathlib import Path

import pytest
import torch

from sensam.errors import InputError, SensamError, WeightsError
from sensam.nn.segformer import SegFormer, build_segformer, load_segformer, start_from


def parameters(net: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


@pytest.mark.parametrize(("size", "millions"), [("b0", 3.72), ("b1", 13.68), ("b2", 24.73)])
def test_parameters_of_the_published_students(size: str, millions: float) -> None:
    with torch.device("meta"):
        net = build_segformer(size, bands=3, classes=19)
    assert parameters(net) / 1e6 == pytest.approx(millions, abs=0.01)


def test_wider_heads_and_the_size_of_the_published_assistant() -> None:
    with torch.device("meta"):
        assert parameters(build_segformer("b0", bands=3, classes=19, head=512)) / 1e6 == pytest.approx(4.64, abs=0.01)
        assert parameters(build_segformer("b5", bands=3, classes=19, head=768)) / 1e6 == pytest.approx(84.6, abs=0.05)


@pytest.mark.parametrize(("bands", "height", "width"), [(3, 40, 104), (4, 33, 65), (1, 64, 64), (13, 50, 100)])
def test_any_bands_and_sizes_that_are_no_multiple_of_32(bands: int, height: int, width: int) -> None:
    net = build_segformer("b0", bands=bands, classes=5, head=32).eval()
    with torch.no_grad():
        logits, levels = net.analyse(torch.randn(1, bands, height, width))
    assert logits.shape == (1, 5, height, width)
    assert [level.shape[1] for level in levels] == list(net.widths) == [32, 64, 160, 256]
    for stride, level in zip((4, 8, 16, 32), levels, strict=True):
        assert level.shape[-2:] == (-(-height // stride), -(-width // stride))


def test_with_padding_around_a_roll_of_the_image_rolls_the_answer() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 3, 32, 128)
    apart = {}
    for around in (0, 128):
        torch.manual_seed(1)
        net = build_segformer("b0", bands=3, classes=4, head=16, around=around).eval()
        with torch.no_grad():
            rolled_back = net(image.roll(64, -1)).roll(-64, -1)
            apart[around] = (net(image) - rolled_back)[..., [0, 1, -2, -1]].abs().mean().item()
    assert apart[128] < 0.6 * apart[0], "the seam is felt less when both of its sides are seen"


def test_padding_changes_neither_the_size_of_levels_nor_of_logits() -> None:
    image = torch.randn(1, 3, 36, 70)
    plain, around = (build_segformer("b0", bands=3, classes=2, head=8, around=pixels).eval() for pixels in (0, 32))
    with torch.no_grad():
        shapes = [[level.shape for level in net.analyse(image)[1]] for net in (plain, around)]
        assert plain(image).shape == around(image).shape
    assert shapes[0] == shapes[1]


@pytest.mark.slow
def test_a_trained_one_comes_back_from_a_folder(tmp_path: Path) -> None:
    net = build_segformer("b0", bands=3, classes=2, head=8).eval()
    net.net.config.id2label = {0: "road", 1: "sky"}
    net.net.save_pretrained(tmp_path)
    again = load_segformer(tmp_path).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(image), again(image))
    assert again.class_names == ("road", "sky")


def test_a_student_starts_from_published_kernels_spread_over_its_bands(tmp_path: Path) -> None:
    theirs = build_segformer("b0", bands=3, classes=2, head=8)
    theirs.net.save_pretrained(tmp_path)
    student = build_segformer("b0", bands=5, classes=7, head=8)
    start_from(student, tmp_path)
    grey = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        mine = student.eval().analyse(grey.expand(1, 5, 32, 32))[1]
        whose = theirs.eval().analyse(grey.expand(1, 3, 32, 32))[1]
    for ours, expected in zip(mine, whose, strict=True):
        assert torch.allclose(ours, expected, atol=1e-4), "a grey image looks the same to both"


@pytest.mark.slow
def test_mistakes_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SensamError, match="Did you mean 'b0'"):
        build_segformer("b00", bands=3, classes=2)
    with pytest.raises(SensamError, match="multiple of 32"):
        build_segformer("b0", bands=3, classes=2, around=20)
    with pytest.raises(InputError, match="at least 32 rows"):
        build_segformer("b0", bands=3, classes=2, head=8)(torch.zeros(1, 3, 16, 64))
    with pytest.raises(WeightsError, match="cannot be read as a SegFormer"):
        load_segformer(tmp_path / "nowhere")
    build_segformer("b0", bands=3, classes=2, head=8).net.segformer.save_pretrained(tmp_path / "encoder")
    with pytest.raises(WeightsError, match="no whole SegFormer"):
        load_segformer(tmp_path / "encoder")
    wide: SegFormer = build_segformer("b1", bands=3, classes=2, head=8)
    with pytest.raises(WeightsError, match="does not fit this student"):
        start_from(wide, tmp_path / "encoder")
