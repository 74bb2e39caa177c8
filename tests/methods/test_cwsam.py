"""CWSAM as a whole: counts, where it starts, what moves, other bands and sizes, and what a checkpoint must hold."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sensam.config import RunSettings
from sensam.errors import SettingsError
from sensam.methods import find_method
from sensam.methods.base import Task
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.nn.adapted_encoder import EncoderTuning, wrap
from sensam.nn.band_stems import AsPhotograph
from sensam.nn.surgery import freeze_all_but
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam
from sensam.sensors import Sensor
from sensam.train.schedule import Schedule
from sensam.types import Batch
from tests.methods.conftest import learn, make_sensor

MakeTask = Callable[..., Task]
MakeBatch = Callable[..., Batch]


def of_vit(size: str, classes: int, **settings: object) -> Cwsam:
    """On the meta device: shapes without numbers."""
    with torch.device("meta"):
        names = tuple(f"class {number}" for number in range(classes))
        return Cwsam(Task(make_sensor(3), names, Sam(anatomy(size)), size=1024), CwsamConfig(**settings))  # type: ignore[arg-type]


def learnt(method: Cwsam) -> dict[str, Tensor]:
    moving = freeze_all_but(method, method.stages[0].learns)
    return {name: weight for name, weight in method.named_parameters() if name in moving}


def image(bands: int, rows: int = 32, columns: int = 32, count: int = 2) -> Tensor:
    return torch.randn(count, bands, rows, columns, generator=torch.Generator().manual_seed(7))


class TestCounts:
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

    def test_adapters_cost_at_most_six_and_a_half_percent(self) -> None:
        def operations(encoder: torch.nn.Module) -> int:
            with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
                encoder(torch.empty(1, 3, 1024, 1024))
            return counter.get_total_flops()

        method = of_vit("b", 5, frequencies="none")
        method.encoder.host.use_attention("explicit")  # the counter sees plain products only
        assert operations(method.encoder) <= 1.065 * operations(method.encoder.host)


class TestStart:
    @torch.no_grad()
    def test_the_first_features_are_sams(self, make_task: MakeTask) -> None:
        task = make_task(3)
        method = Cwsam(task, CwsamConfig()).eval()
        assert torch.equal(method.encoder(image(3)), task.sam.encode(image(3)))

    @torch.no_grad()
    @pytest.mark.parametrize("settings", [{"protocol": "paper"}, {"init": "torch_default"}])
    def test_the_authors_start_away_from_it(self, make_task: MakeTask, settings: dict[str, str]) -> None:
        task = make_task(3)
        method = Cwsam(task, CwsamConfig(**settings)).eval()  # type: ignore[arg-type]
        assert not torch.allclose(method.encoder(image(3)), task.sam.encode(image(3)), atol=0.05)

    def test_paper_with_zero_start_keeps_the_rest_of_the_paper(self, make_task: MakeTask) -> None:
        method = Cwsam(make_task(3), CwsamConfig(protocol="paper", init="zero"))
        assert method.encoder.part.prompts is not None
        assert method.encoder.part.prompts.filter.as_published
        assert not method.encoder.part.adapters[0].space.up.weight.any()  # type: ignore[union-attr]

    def test_what_the_authors_fail_to_load_is_loaded(self, make_task: MakeTask) -> None:
        task = make_task(3)
        theirs = (task.sam.shared_image_embedding.positional_embedding, task.sam.prompt_encoder.no_mask_embed.weight[0])
        strict, paper = (Cwsam(task, CwsamConfig(protocol=protocol)).decoder for protocol in ("strict", "paper"))  # type: ignore[arg-type]
        assert torch.equal(strict.place_code, theirs[0])
        assert torch.equal(strict.no_mask, theirs[1])
        assert not torch.equal(paper.place_code, theirs[0])
        assert not torch.equal(paper.no_mask, theirs[1])

    def test_everything_but_adapters_prompts_and_head_is_sams(self, make_task: MakeTask) -> None:
        task = make_task(3)
        method = Cwsam(task, CwsamConfig())
        theirs = {tuple(weight.flatten().tolist()) for weight in task.sam.state_dict().values()}
        own = {
            name.rsplit(".", 1)[0]
            for name, weight in method.state_dict().items()
            if tuple(weight.flatten().tolist()) not in theirs
        }
        assert all(
            name.startswith(("encoder.part.adapters.", "encoder.part.prompts.", "decoder.head.")) for name in own
        )


class TestLearning:
    def test_exactly_the_declared_names_change_and_sam_does_not(
        self, make_task: MakeTask, make_batch: MakeBatch
    ) -> None:
        task = make_task(3)
        base = copy.deepcopy(task.sam.state_dict())
        flags = [weight.requires_grad for weight in task.sam.parameters()]
        method = Cwsam(task, CwsamConfig(init="torch_default"))
        before = copy.deepcopy(method.state_dict())
        learn(method, method.stages[0], [make_batch(3)])
        moving = learnt(method)
        changed = {name for name, weight in method.state_dict().items() if not torch.equal(weight, before[name])}
        assert changed == set(moving)
        prefixes = ("encoder.part.", "decoder.mask_decoder.", "decoder.head.", "decoder.no_mask")
        assert all(name.startswith(prefixes) for name in moving)
        assert all(torch.equal(weight, base[name]) for name, weight in task.sam.state_dict().items())
        assert [weight.requires_grad for weight in task.sam.parameters()] == flags

    def test_no_parameter_that_learns_is_without_gradient(self, make_task: MakeTask, make_batch: MakeBatch) -> None:
        method = Cwsam(make_task(3), CwsamConfig())
        moving = learnt(method)
        method.stages[0].loss(make_batch(3), None)["loss"].backward()  # type: ignore[arg-type]
        assert all((weight.grad is not None) == (name in moving) for name, weight in method.named_parameters())

    @pytest.mark.parametrize("protocol", ["strict", "paper"])
    @pytest.mark.parametrize("head", ["full", "lite"])
    @pytest.mark.slow
    def test_it_learns(self, make_task: MakeTask, make_batch: MakeBatch, protocol: str, head: str) -> None:
        method = Cwsam(make_task(3), CwsamConfig(protocol=protocol, head=head))  # type: ignore[arg-type]
        log = learn(method, method.stages[0], [make_batch(3)] * 15, rate=3e-3)
        assert log[-1]["loss"] < 0.95 * log[0]["loss"]

    @pytest.mark.parametrize("protocol", ["strict", "paper"])
    def test_the_loss_is_weighted_and_divided_by_the_labelled_pixels(
        self, make_task: MakeTask, make_batch: MakeBatch, protocol: str
    ) -> None:
        task, batch, weights = make_task(3), make_batch(3), (0.2, 1.0, 1.9)
        assert batch.label_BHW is not None
        label = batch.label_BHW.clone()
        label[0, :9] = 255
        method = Cwsam(task, CwsamConfig(protocol=protocol, class_weights=weights)).eval()  # type: ignore[arg-type]
        with torch.no_grad():
            found = method.stages[0].loss(replace(batch, label_BHW=label), None)["loss"]  # type: ignore[arg-type]
            log_BKHW = method(batch.image_BCHW).log_softmax(1)
        known = label != 255
        each = -log_BKHW.gather(1, label.clamp(max=2)[:, None])[:, 0][known]
        weight = torch.tensor(weights)[label[known]]
        torch.testing.assert_close(found, (weight * each).sum() / known.sum())

    def test_with_every_pixel_labelled_the_paper_equals_torchs_probability_form(
        self, make_task: MakeTask, make_batch: MakeBatch
    ) -> None:
        batch, weights = make_batch(3), (0.2, 1.0, 1.9)
        method = Cwsam(make_task(3), CwsamConfig(protocol="paper", class_weights=weights)).eval()
        assert batch.label_BHW is not None
        with torch.no_grad():
            one_hot = torch.nn.functional.one_hot(batch.label_BHW, 3).permute(0, 3, 1, 2).float()
            theirs = torch.nn.functional.cross_entropy(method(batch.image_BCHW), one_hot, torch.tensor(weights))
            torch.testing.assert_close(method.stages[0].loss(batch, None)["loss"], theirs)  # type: ignore[arg-type]

    @pytest.mark.parametrize("protocol", ["strict", "paper"])
    def test_a_tile_without_labels_is_zero_with_finite_gradients(
        self, make_task: MakeTask, make_batch: MakeBatch, protocol: str
    ) -> None:
        batch = make_batch(3)
        assert batch.label_BHW is not None
        batch = replace(batch, label_BHW=torch.full_like(batch.label_BHW, 255))
        method = Cwsam(make_task(3), CwsamConfig(protocol=protocol, class_weights=(1.0, 2.0, 3.0)))  # type: ignore[arg-type]
        moving = learnt(method)
        loss = method.stages[0].loss(batch, None)["loss"]  # type: ignore[arg-type]
        loss.backward()
        assert loss.item() == 0
        assert all(weight.grad is not None and not weight.grad.any() for weight in moving.values())

    def test_labels_are_needed(self, make_task: MakeTask, make_batch: MakeBatch) -> None:
        method = Cwsam(make_task(3), CwsamConfig())
        with pytest.raises(SettingsError, match="learns from labels"):
            method.stages[0].loss(replace(make_batch(3), label_BHW=None), None)  # type: ignore[arg-type]


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


class TestChoices:
    @torch.no_grad()
    @pytest.mark.parametrize("settings", [{"init": "torch_default"}, {"protocol": "paper"}])
    def test_images_of_a_batch_do_not_see_each_other(self, make_task: MakeTask, settings: dict[str, str]) -> None:
        method = Cwsam(make_task(3), CwsamConfig(**settings)).eval()  # type: ignore[arg-type]
        for count in (1, 2, 5):
            together = method(image(3, count=count))
            alone = torch.cat([method(one) for one in image(3, count=count).split(1)])
            torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)

    @torch.no_grad()
    def test_every_choice_is_used(self, make_task: MakeTask) -> None:
        task = make_task(3)
        choices: list[dict[str, object]] = [
            {},
            {"frequencies": "high"},
            {"frequencies": "both"},
            {"frequencies": "none"},
            {"rate": 0.0625},
            {"adapters": False},
            {"adapters": False, "frequencies": "none"},
        ]
        features = []
        for choice in choices:
            torch.manual_seed(3)
            start = {} if choice.keys() == {"adapters", "frequencies"} else {"init": "torch_default"}
            method = Cwsam(task, CwsamConfig(**choice, **start)).eval()  # type: ignore[arg-type]
            features.append(method.encoder(image(3)))
        for one in range(len(choices)):
            for other in range(one):
                assert not torch.equal(features[one], features[other]), (choices[one], choices[other])
        assert torch.equal(features[-1], task.sam.encode(image(3)))

    def test_train_and_eval_are_one_path(self, make_task: MakeTask) -> None:
        method = Cwsam(make_task(3), CwsamConfig())
        torch.testing.assert_close(method.train()(image(3)), method.eval()(image(3)))

    def test_settings_that_would_do_nothing_are_refused(self, make_task: MakeTask) -> None:
        for settings, message in (
            ({"class_weights": (1.0, 2.0)}, "2 numbers, there are 3 classes"),
            ({"frequencies": "none", "rate": 0.1}, "rate does nothing"),
            ({"frequencies": "none", "adapters": False, "init": "zero"}, "init does nothing"),
        ):
            with pytest.raises(SettingsError, match=message):
                Cwsam(make_task(3), CwsamConfig(**settings))  # type: ignore[arg-type]

    def test_it_is_found_by_name(self) -> None:
        assert find_method("cwsam") is Cwsam


class TestCheckpoints:
    @torch.no_grad()
    def test_what_was_learnt_and_the_sam_make_the_same_logits(self, make_task: MakeTask, make_batch: MakeBatch) -> None:
        for settings in ({}, {"protocol": "paper"}, {"frequencies": "none", "stem": "conv"}):
            task, config = make_task(5), CwsamConfig(**settings)  # type: ignore[arg-type]
            config = CwsamConfig.model_validate(config.model_dump(mode="json"))
            method = Cwsam(task, config)
            with torch.enable_grad():
                learn(method, method.stages[0], [make_batch(5)])
            kept = {*learnt(method), *(name for name, _ in method.named_buffers())} & method.state_dict().keys()
            saved = {name: weight.clone() for name, weight in method.state_dict().items() if name in kept}
            torch.manual_seed(99)
            again = Cwsam(task, config)
            missing, unexpected = again.load_state_dict(saved, strict=False)
            assert not unexpected
            assert all(name.startswith(("encoder.host.", "decoder.mask_decoder.")) for name in missing)
            assert torch.equal(again.eval()(image(5)), method.eval()(image(5)))

    @torch.no_grad()
    def test_several_on_one_sam_answer_as_each_alone(self, make_task: MakeTask, make_batch: MakeBatch) -> None:
        task = make_task(3)
        alone, states = [], []
        for seed in (0, 1):
            torch.manual_seed(seed)
            method = Cwsam(replace(task, sam=copy.deepcopy(task.sam)), CwsamConfig())
            with torch.enable_grad():
                learn(method, method.stages[0], [make_batch(3, seed=seed)] * 2, rate=1e-2)
            alone.append(method.eval()(image(3)))
            states.append(method.state_dict())
        both = [Cwsam(task, CwsamConfig()).eval() for _ in states]
        for method, state in zip(both, states, strict=True):
            method.load_state_dict(state)
        for _ in range(2):
            for method, expected in zip(both, alone, strict=True):
                assert torch.equal(method(image(3)), expected)
        assert not torch.equal(*alone)
        weights = [method.encoder.host.layers[0].mlp.lin1.weight for method in both]
        assert weights[0].data_ptr() == weights[1].data_ptr()  # SAM is in memory once


class TestSchedule:
    def test_both_protocols_name_settings_that_a_run_has(self, make_task: MakeTask) -> None:
        for protocol in ("strict", "paper"):
            (stage,) = Cwsam(make_task(3), CwsamConfig(protocol=protocol)).stages  # type: ignore[arg-type]
            settings = RunSettings(data="data", method="cwsam").for_stage(stage.name, stage.settings)
            assert (settings.rate, settings.least_rate, settings.weight_decay) == (2e-4, 1e-7, 0.01)
        assert (settings.epochs, settings.batch, settings.size, settings.fit, settings.augment) == (
            *(200, 1, 1024, "stretch"),
            {},
        )

    def test_the_rate_falls_as_published(self, make_task: MakeTask) -> None:
        """Epochs 1, 101 and 200 of 200 on the 530 tiles of FUSAR-Map."""
        settings = Cwsam(make_task(3), CwsamConfig()).stages[0].settings
        schedule = Schedule(200 * 530, settings["rate"], settings["least_rate"], settings["warm_up"])
        assert schedule.at(0) == pytest.approx(2e-4)
        assert schedule.at(100 * 530) == pytest.approx(1.0005e-4, rel=1e-4)
        assert schedule.at(199 * 530) == pytest.approx(1.1e-7, rel=0.03)

    def test_shares_of_a_batch_add_up_to_it(self, make_task: MakeTask, make_batch: MakeBatch) -> None:
        """Each share weighed by its labelled pixels, as the loop does for many processes."""
        whole = make_batch(3, count=5)
        assert whole.label_BHW is not None
        whole.label_BHW[1, :20] = 255
        method = Cwsam(make_task(3), CwsamConfig(class_weights=(0.3, 1.0, 2.0), init="torch_default"))
        moving = learnt(method)
        stage = method.stages[0]
        stage.loss(whole, None)["loss"].backward()  # type: ignore[arg-type]
        expected = {name: weight.grad for name, weight in moving.items()}
        method.zero_grad()
        known = (whole.label_BHW != 255).sum()
        for rows in (slice(0, 2), slice(2, 5)):
            share = Batch(whole.image_BCHW[rows], whole.valid_BHW[rows], whole.label_BHW[rows], whole.keys[rows])
            (stage.loss(share, None)["loss"] * (whole.label_BHW[rows] != 255).sum() / known).backward()  # type: ignore[arg-type]
        for name, weight in moving.items():
            torch.testing.assert_close(weight.grad, expected[name], atol=1e-5, rtol=1e-4)
