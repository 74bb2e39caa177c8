"""CWSAM on other sensors: any number of bands and any size, and the stems that make colours of them."""

import copy
from dataclasses import replace

import pytest
import torch

from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.nn.adapted_encoder import EncoderTuning, wrap
from sensam.nn.band_stems import AsPhotograph
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam
from sensam.sensors import Sensor
from tests.methods.conftest import learn, make_sensor
from tests.methods.small_cwsam import MakeBatch, MakeTask, image, learnt


class TestBands:
    @torch.no_grad()
    @pytest.mark.parametrize("stem", [None, "conv"])
    @pytest.mark.parametrize("bands", [1, 3, 13])
    def test_any_number_and_any_size(self, make_task: MakeTask, bands: int, stem: str | None) -> None:
        task = make_task(3)
        method = Cwsam(replace(task, sensor=make_sensor(bands)), CwsamConfig(stem=stem)).eval()  # type: ignore[arg-type]
        for rows, columns in ((32, 32), (19, 45), (8, 64)):
            assert method(image(bands, rows, columns)).shape == (2, 3, rows, columns)

    @torch.no_grad()
    def test_one_band_is_seen_as_sam_sees_grey(self, make_task: MakeTask) -> None:
        task = make_task(3)
        method = Cwsam(replace(task, sensor=make_sensor(1)), CwsamConfig()).eval()
        grey = image(1)
        assert torch.equal(method.encoder(method.stem(grey)), task.sam.encode(grey.repeat(1, 3, 1, 1)))
        assert not any("stem" in name or "patch_embed" in name for name in learnt(method))

    @torch.no_grad()
    def test_of_one_band_one_plane_is_filtered(self, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
        method = Cwsam(replace(make_task(3), sensor=make_sensor(1)), CwsamConfig(init="torch_default")).eval()
        prompts = method.encoder.part.prompts
        assert prompts is not None
        split, seen = prompts.filter._split, []
        monkeypatch.setattr(prompts.filter, "_split", lambda planes: [seen.append(planes.shape[1]), split(planes)][1])
        found = method(image(1))
        method.stem = torch.nn.Identity()
        torch.testing.assert_close(method(image(1).repeat(1, 3, 1, 1)), found, atol=1e-5, rtol=1e-4)
        assert seen == [1, 3]

    @pytest.mark.parametrize(("stem", "start"), [("conv", "stem."), ("inflate", "encoder.host.patch_embed.")])
    def test_stems_for_more_bands_learn(
        self, make_task: MakeTask, make_batch: MakeBatch, stem: str, start: str
    ) -> None:
        task = replace(make_task(3), sensor=make_sensor(5))
        method = Cwsam(task, CwsamConfig(stem=stem))  # type: ignore[arg-type]
        before = copy.deepcopy(method.state_dict())
        learn(method, method.stages[0], [make_batch(5)])
        changed = {name for name, weight in method.state_dict().items() if not torch.equal(weight, before[name])}
        assert {name for name in changed if name.startswith(start)} == {f"{start}{end}" for end in ends(stem)}
        assert task.sam.vision_encoder.patch_embed.projection.in_channels == 3

    def test_an_8_bit_band_is_a_photograph_under_the_paper(self, make_task: MakeTask) -> None:
        band = {"name": "amplitude", "dtype": "uint8", "scale": 0.1, "offset": -1.0, "mean": 9.0, "std": 4.0}
        sensor = Sensor.from_dict({"name": "grey", "bands": [band]})
        method = Cwsam(replace(make_task(3), sensor=sensor), CwsamConfig(protocol="paper"))
        assert isinstance(method.stem, AsPhotograph)
        stored = torch.tensor([0.0, 255.0]).view(1, 1, 1, 2)
        seen = method.stem((stored * 0.1 - 1.0 - 9.0) / 4.0)
        expected = (stored - torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)) / torch.tensor(
            [58.395, 57.12, 57.375]
        ).view(3, 1, 1)
        torch.testing.assert_close(seen, expected)

    @torch.no_grad()
    def test_a_sam_with_the_sensors_bands_is_taken_as_it_is(self, make_task: MakeTask) -> None:
        task = replace(make_task(3), sensor=make_sensor(13))
        student = Sam(replace(task.sam.anatomy, bands=13)).eval()
        task = replace(task, sam=student)
        method = Cwsam(task, CwsamConfig()).eval()
        assert torch.equal(method.encoder(image(13)), student.encode(image(13)))
        assert not any("patch_embed" in name for name in learnt(method))
        assert method(image(13)).shape == (2, 3, 32, 32)

    def test_the_neck_learns_where_it_is_asked_to(self, make_task: MakeTask, make_batch: MakeBatch) -> None:
        task = make_task(3)
        before = copy.deepcopy(task.sam.state_dict())
        method = Cwsam(task, CwsamConfig(neck=True))
        learn(method, method.stages[0], [make_batch(3)])
        assert {name for name in learnt(method) if ".host." in name} == {
            f"encoder.host.neck.{name}" for name, _ in task.sam.vision_encoder.neck.named_parameters()
        }
        assert not torch.equal(method.encoder.host.neck.conv1.weight, before["vision_encoder.neck.conv1.weight"])
        assert torch.equal(task.sam.vision_encoder.neck.conv1.weight, before["vision_encoder.neck.conv1.weight"])

    def test_a_sam_whose_encoder_is_none_of_sams_is_refused(self, make_task: MakeTask) -> None:
        task = make_task(3)
        wrap(task.sam, EncoderTuning())
        with pytest.raises(SettingsError, match="has a AdaptedEncoder"):
            Cwsam(task, CwsamConfig())

    def test_stems_that_make_no_sense(self, make_task: MakeTask) -> None:
        task = make_task(3)
        for stem, bands in (("own", 5), ("repeat", 5), ("inflate", 3)):
            with pytest.raises(SettingsError, match=f"stem {stem} needs"):
                Cwsam(replace(task, sensor=make_sensor(bands)), CwsamConfig(stem=stem))  # type: ignore[arg-type]

    @torch.no_grad()
    def test_nano_with_its_own_weights(self) -> None:
        task = Task(make_sensor(2), ("dry", "water"), load_sam("nano"), size=64)
        method = Cwsam(task, CwsamConfig()).eval()
        assert method(image(2, 64, 48, count=1)).shape == (1, 2, 64, 48)


def ends(stem: str) -> tuple[str, ...]:
    return ("weight", "bias") if stem == "conv" else ("projection.weight", "projection.bias")
