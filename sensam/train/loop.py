"""The one training loop: a stage of any method, on one process or many, stopped and resumed without a trace."""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sensam.config import TrainSettings
from sensam.data.loader import Loader
from sensam.errors import InputError
from sensam.methods.base import Losses, Method, Moment, Stage
from sensam.methods.rebuilding import put
from sensam.nn.joint_norm import join_norms
from sensam.nn.losses import mass
from sensam.nn.surgery import freeze_all_but, holdings
from sensam.nn.wide import wide
from sensam.train.checkpoint import Best, Checkpoints, Progress
from sensam.train.display import Display
from sensam.train.groups import parameter_groups
from sensam.train.journal import Journal
from sensam.train.judges import Judge
from sensam.train.memory import advise_fewer, advise_smaller, advise_while_judging, explaining_memory, save_memory
from sensam.train.optimisers import build_optimisers
from sensam.train.schedule import Schedule
from sensam.train.trackers import Tracker
from sensam.types import Batch

MicroBatch = tuple[range, Batch]  # the samples' places in the epoch, and the samples

LACKING = {"miou": "no labelled pixel", "click_iou": "no region to click"}  # where a score is no number


@dataclass(frozen=True)
class Desk:
    """What all stages of a run share."""

    fabric: Fabric
    seed: int
    trained: frozenset[str]  # names of the parameters that this or an earlier stage trains
    checkpoints: Checkpoints
    journal: Journal | None  # None in every process but the first
    display: Display
    trackers: tuple[Tracker, ...] = ()
    behind: int = 0  # steps of the stages before


@dataclass(frozen=True)
class Lesson:
    """One stage with its settings and data."""

    stage: Stage
    number: int  # of the stage among the method's
    settings: TrainSettings
    loader: Loader
    validation: Loader | None
    judge: Judge | None
    ignore: int = 255


class _Through(nn.Module):
    """Computes a loss inside `forward`, where wrappers for many processes see which parameters took part."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method
        # What is frozen is the same everywhere: no process needs to send it to another.
        resting = {name for name, parameter in self.named_parameters() if not parameter.requires_grad}
        self._ddp_params_and_buffers_to_ignore = resting

    def forward(self, loss: Callable[[], Losses]) -> dict[str, Tensor]:
        return dict(loss())


class StageRun:
    """Teaches one stage from where `progress` stands to its end."""

    def __init__(self, desk: Desk, method: Method, lesson: Lesson, progress: Progress) -> None:
        self.desk, self.method, self.lesson, self.progress = desk, method, lesson, progress
        settings, fabric = lesson.settings, desk.fabric
        if fabric.world_size > 1:
            join_norms(method)
        save_memory(method, settings.checkpointing)
        factors = freeze_all_but(method, lesson.stage.learns)
        groups = parameter_groups(
            method.named_parameters(), factors, weight_decay=settings.weight_decay, decay_all=settings.decay_all
        )
        is_fused = fabric.device.type in ("cpu", "cuda")
        optimisers = build_optimisers(groups, settings, fused=is_fused)
        self.module, *self.optimisers = fabric.setup(_Through(method), *optimisers)
        self.epoch_steps = math.ceil(len(lesson.loader) / settings.accumulate)
        self.total = settings.steps or (settings.epochs or 1) * self.epoch_steps
        halved_every = settings.halve_every and settings.halve_every * self.epoch_steps
        self.schedule = Schedule(self.total, settings.rate, settings.least_rate, settings.warm_up, halved_every)
        self.validates_at = _evenly(self.total, settings.validations) if lesson.validation else frozenset()
        self._started = time.monotonic() - progress.seconds
        self._sums: dict[str, Tensor] = {
            name: torch.tensor(value, dtype=wide(fabric.device), device=fabric.device)
            for name, value in progress.sums.items()
        }

    def resume(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take the optimisers up where a checkpoint left them; weights and progress are there already."""
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(dict(state))

    def fit(self) -> dict[str, float]:
        """Train to the end of the stage; the scores of the weights that are kept."""
        progress = self.progress
        self.method.train()
        with self.desk.display.stage(self.lesson.stage.name, self.total, progress.step):
            while progress.step < self.total and not self._has_stopped_early():
                epoch, done = divmod(progress.step, self.epoch_steps)
                for group in self._groups(epoch, done):
                    self._step(epoch, group)
                    self._account(epoch)
                    if progress.step == self.total or self._has_stopped_early():
                        break
        scores = self._finish()
        progress.results[self.lesson.stage.name] = scores
        progress.is_done = True
        progress.seconds = time.monotonic() - self._started
        self._save()
        return scores

    def _groups(self, epoch: int, done: int) -> Iterator[list[MicroBatch]]:
        """The batches of each remaining step of an epoch."""
        accumulate, loader = self.lesson.settings.accumulate, self.lesson.loader
        start = done * accumulate
        batches = iter(zip(loader.places[start:], loader.epoch(epoch, start=start), strict=True))
        while group := list(islice(batches, accumulate)):
            yield group

    def _step(self, epoch: int, group: list[MicroBatch]) -> None:
        """One step of the optimiser, whose gradient is that of one joint batch over all processes."""
        fabric, step = self.desk.fabric, self.progress.step
        rate = self.schedule.at(step)
        moved = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for parameters in moved:
            parameters["lr"] = rate * parameters["factor"]
        self._draw_anew(step)
        weights = [self._weigh(batch) for _, batch in group]
        total = self._over_all(torch.stack(weights).sum())
        divisor = total.masked_fill(total == 0, 1)  # nothing to learn from anywhere: gradients are 0, not undefined
        sums: dict[str, Tensor] = {}
        for number, ((places, batch), weight) in enumerate(zip(group, weights, strict=True), 1):
            moment = self._moment(epoch, step, places)
            loss = partial(self.lesson.stage.loss, batch, moment)
            with (
                explaining_memory(partial(advise_smaller, fabric, self.module, self.lesson, batch, moment)),
                fabric.no_backward_sync(self.module, enabled=number < len(group)),
            ):
                losses = self.module(loss)
                fabric.backward(losses["loss"] * (weight * fabric.world_size / divisor).to(losses["loss"].dtype))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach().to(weight.dtype) * weight
        self._add_up(sums, total)
        learning = [parameter for group in moved for parameter in group["params"]]
        with explaining_memory(partial(advise_fewer, self.lesson, learning)):
            if self.lesson.settings.clip:
                nn.utils.clip_grad_norm_(learning, self.lesson.settings.clip)  # one norm over all optimisers
            for optimiser in self.optimisers:
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1

    def _moment(self, epoch: int, step: int, places: range) -> Moment:
        return Moment(self.desk.seed + 7919 * self.lesson.number, epoch, step, places)

    def _draw_anew(self, step: int) -> None:
        """Seed what a loss may draw without asking its Moment, such as dropout, so that resuming repeats it."""
        key = (((self.desk.seed * 1009 + self.lesson.number) * 1_000_003 + step) * 4099) + self.desk.fabric.global_rank
        random.seed(key)
        torch.manual_seed(key % 2**63)

    def _weigh(self, batch: Batch) -> Tensor:
        """Over how much a batch's loss is a mean: as its stage says, or labelled pixels, or samples without labels."""
        device = batch.image_BCHW.device
        if self.lesson.stage.mass is not None:
            return self.lesson.stage.mass(batch).to(wide(device))
        if self.lesson.stage.needs_labels and batch.label_BHW is not None:
            return mass(batch.label_BHW, self.lesson.ignore).to(wide(device))
        return torch.tensor(len(batch), dtype=wide(device), device=device)

    def _over_all(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.desk.fabric.world_size == 1:
            return value
        reduced = self.desk.fabric.all_reduce(value, reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return reduced

    def _add_up(self, sums: Mapping[str, Tensor], weight: Tensor) -> None:
        names = sorted(sums)
        together = self._over_all(torch.stack([sums[name] for name in names]))
        for name, value in [*zip(names, together, strict=True), ("", weight)]:
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _account(self, epoch: int) -> None:
        """After a step: validate, log and save what is due."""
        progress, settings = self.progress, self.lesson.settings
        validates = progress.step in self.validates_at
        scores = self._validate() if validates else {}
        if validates or progress.step % settings.log_every == 0 or progress.step == self.total:
            self._log(epoch, scores)
        self.desk.display.advance(progress.step)
        is_place = validates or progress.step % settings.save_every == 0 or progress.step % self.epoch_steps == 0
        if is_place and self.desk.checkpoints.is_due():
            self._save()

    def _log(self, epoch: int, scores: Mapping[str, float]) -> None:
        means = self._means()
        self._sums.clear()
        row: dict[str, str | int | float] = {
            "stage": self.lesson.number,
            "name": self.lesson.stage.name,
            "epoch": epoch,
            "step": self.progress.step,
            "rate": self.schedule.at(self.progress.step - 1),
            **means,
            **{f"val_{name}": value for name, value in scores.items()},
        }
        if self.desk.journal:
            self.desk.journal.add(row)
        for tracker in self.desk.trackers:
            tracker.add(row, self.desk.behind + self.progress.step)
        self.desk.display.show(row)

    def _means(self) -> dict[str, float]:
        """Mean losses since the last row; an error where one is no number any more."""
        sums = {name: float(value) for name, value in self._sums.items()}
        weight = sums.pop("") or 1.0  # where there was nothing to learn from, sums are 0
        means = {name: value / weight for name, value in sums.items()}
        if not math.isfinite(means["loss"]):
            raise InputError(
                f"The loss of stage {self.lesson.stage.name} is {means['loss']} before step {self.progress.step}. "
                "Lower --set train.rate, look at the data with `sensam check`, or try --set machine.precision=32."
            )
        return means

    def _validate(self) -> dict[str, float]:
        """Scores on the validation split, and the best weights kept."""
        scores = self._judge()
        judge, progress = self.lesson.judge, self.progress
        assert judge is not None
        score, best = scores[judge.decides], progress.best
        is_better = math.isfinite(score) and (
            best is None or (score > best.score if judge.higher_is_better else score < best.score)
        )
        if not math.isfinite(score) and best is None and progress.step == min(self.validates_at):
            self.desk.display.say(
                f"stage {self.lesson.stage.name}: val {judge.decides} is {score}, because split "
                f"{self.lesson.settings.val_split!r} has {LACKING.get(judge.decides, 'no finite loss')}; "
                "without another the stage keeps its last weights"
            )
        if best is not None or is_better:  # as long as nothing was measured, nothing has got worse
            progress.stale = 0 if is_better else progress.stale + 1
        if is_better:
            name = f"best-{self.lesson.number}-{progress.step:08d}.safetensors"
            if self.desk.fabric.is_global_zero:
                self.desk.checkpoints.keep_best(name, holdings(self.method, self.desk.trained))
            progress.best = Best(score, progress.step, name)
        return scores

    @torch.no_grad()
    def _judge(self) -> dict[str, float]:
        judge, loader, fabric = self.lesson.judge, self.lesson.validation, self.desk.fabric
        assert judge is not None
        assert loader is not None
        self.method.eval()
        total: Tensor | None = None
        with fabric.autocast():
            for places, batch in zip(loader.places, loader, strict=True):
                moment = Moment(self.desk.seed, 0, 0, places)
                with explaining_memory(partial(advise_while_judging, fabric, self.method, self.lesson, batch, moment)):
                    found = judge.measure(self.method, batch, moment)
                total = found if total is None else total + found
        assert total is not None
        if fabric.global_rank >= loader.world:  # more processes than samples: this one repeated another's
            total = torch.zeros_like(total)
        self.method.train()
        return dict(judge.report(self._over_all(total)))

    def _has_stopped_early(self) -> bool:
        patience = self.lesson.settings.patience
        return patience is not None and self.progress.stale >= patience

    def _finish(self) -> dict[str, float]:
        """Put the weights in place that are kept; what is known of them."""
        progress = self.progress
        scores: dict[str, float] = {"steps": progress.step}
        self.desk.fabric.barrier()
        if progress.best is not None:
            assert self.lesson.judge is not None
            scores |= {"best_step": progress.best.step, f"val_{self.lesson.judge.decides}": progress.best.score}
            if self.lesson.settings.keep == "best":
                best = self.desk.checkpoints.read_best(progress.best)
                put(self.method, best, self.desk.trained, str(self.desk.checkpoints.folder / progress.best.file))
        return scores

    def _save(self) -> None:
        if not self.desk.fabric.is_global_zero:
            return
        self.progress.seconds = time.monotonic() - self._started
        self.progress.sums = {name: float(value) for name, value in self._sums.items()}
        if not all(map(math.isfinite, self.progress.sums.values())):
            return  # the next row of the log says so; the checkpoint before it stays
        weights = holdings(self.method, self.desk.trained)
        self.desk.checkpoints.save(self.progress, weights, [each.state_dict() for each in self.optimisers])


def _evenly(total: int, times: int) -> frozenset[int]:
    """Steps after which to do something so often; the last is among them."""
    return frozenset(math.ceil(total * turn / times) for turn in range(1, times + 1))
