"""CWSAM as a whole: where it starts, what moves, what each setting does, and what a checkpoint must hold."""

import copy
from dataclasses import replace

import pytest
import torch

from sensam.config import RunSettings
from sensam.errors import SettingsError
from sensam.methods import find_method
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.train.schedule import Schedule
from sensam.types import Batch
from tests.methods.conftest import learn
from tests.methods.small_cwsam import MakeBatch, MakeTask, image, learnt


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


class TestChoices:
    @torch.no_grad()
    @pytest.mark.parametrize("settings", [{"init": "torch_default"}, {"protocol": "paper"}])
    def test_images_of_a_batch_do_not_see_each_other(self, make_task: MakeTask, settings: dict[str, str]) -> None:
        method = Cwsam(make_task(3), CwsamConfig(**settings)).eval()  # type: ignore[arg-type]
        for count in (1, 2, 5):
            together = method(image(3, count=count))
            alone = torch.cat([method(one) for one in image(3, count=count).split(1)])
            torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)

    @pytest.mark.slow
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
    @pytest.mark.slow
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

    @pytest.mark.slow
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
