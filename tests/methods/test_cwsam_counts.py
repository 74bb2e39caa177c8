"""CWSAM in numbers: parameters, shapes and bytes at the published sizes, and what adapters cost."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sensam.methods.base import Task
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam
from tests.methods.conftest import make_sensor
from tests.methods.small_cwsam import learnt


def of_vit(size: str, classes: int, **settings: object) -> Cwsam:
    """On the meta device: shapes without numbers."""
    with torch.device("meta"):
        names = tuple(f"class {number}" for number in range(classes))
        return Cwsam(Task(make_sensor(3), names, Sam(anatomy(size)), size=1024), CwsamConfig(**settings))  # type: ignore[arg-type]


class TestCounts:
    @pytest.mark.slow
    def test_vit_b_with_five_and_ten_classes(self) -> None:
        unused = 3 * 139_808 + 132_612  # hypernetworks and the head for quality, which nothing reads
        for classes in (5, 10):
            method = of_vit("b", classes)
            count = sum(weight.numel() for weight in learnt(method).values())
            assert count == 11_189_296 + 100_384 * (classes - 5)
            assert count + unused == 11_741_332 + 100_384 * (classes - 5)
        tuning = method.encoder.part
        assert sum(weight.numel() for weight in tuning.adapters.parameters()) == 7_100_928

    @pytest.mark.parametrize(
        ("size", "adapters", "prompts", "encoder"),
        [
            ("b", 10_651_392, 63_312, 89_670_912),
            ("l", 37_840_896, 116_544, 308_278_272),
            ("h", 78_796_800, 186_960, 637_026_048),
        ],
    )
    def test_every_published_teacher(self, size: str, adapters: int, prompts: int, encoder: int) -> None:
        def count(part: torch.nn.Module | None) -> int:
            return sum(weight.numel() for weight in part.parameters()) if part else 0

        method = of_vit(size, 5)
        assert 3 * count(method.encoder.part.adapters) == 2 * adapters  # the authors make a third that nothing calls
        assert count(method.encoder.part.prompts) == prompts
        assert count(method.encoder.host) == encoder

    @pytest.mark.slow
    @torch.no_grad()
    def test_shapes_at_the_published_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method = of_vit("b", 5, protocol="paper", frequencies="none")
        # What asks for autocast cannot be asked for shapes alone: prompts, and the code of places.
        monkeypatch.setattr(method.decoder, "places", lambda h, w: torch.empty(1, 256, h, w))
        with torch.device("meta"):
            image = torch.empty(2, 3, 1024, 1024)
            embedding = method.encoder(image)
            assert embedding.shape == (2, 256, 64, 64)
            assert method.decoder(embedding).shape == (2, 5, 256, 256)
            assert method(image).shape == (2, 5, 1024, 1024)

    def test_what_is_saved_of_vit_b_is_below_62_megabytes(self) -> None:
        method = of_vit("b", 5)
        saved = sum(weight.numel() for weight in (*learnt(method).values(), *method.buffers()))
        assert 4 * saved <= 62e6

    @pytest.mark.slow
    def test_adapters_cost_at_most_six_and_a_half_percent(self) -> None:
        def operations(encoder: torch.nn.Module) -> int:
            with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
                encoder(torch.empty(1, 3, 1024, 1024))
            return counter.get_total_flops()

        method = of_vit("b", 5, frequencies="none")
        method.encoder.host.use_attention("explicit")  # the counter sees plain products only
        assert operations(method.encoder) <= 1.065 * operations(method.encoder.host)
