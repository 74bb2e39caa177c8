"""SAM's way of learning: focal and dice loss on the best of three masks, and an honest guess of its own quality."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sensam.sam.model import Sam
from sensam.sam.nano.lessons import Lesson
from sensam.types import Prompts


def ask_and_grade(sam: Sam, lesson: Lesson, step_seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Some of an image's regions are asked by a click, some by a box, some by one click for one answer or by a second.

    Every step asks in every way: with one way a step, boxes were answered worse than by filling the box. Returns the
    loss, and the mean IoU of the answers by kind of question.
    """
    dice = torch.Generator().manual_seed(step_seed)
    embedding = sam.encode(lesson.image_B3HW)
    per_image = len(lesson.target_NHW) // len(embedding)
    clicks, boxes, others = lesson.asked
    place_BN2, box_BN4 = (whole.unflatten(0, (-1, per_image)) for whole in (lesson.click_N2, lesson.box_N4))
    target_BNhw = _shrink(lesson.target_NHW, sam.anatomy.patch // 4).unflatten(0, (-1, per_image))
    by_click, by_box, in_turn = target_BNhw.split([clicks, boxes, others], 1)

    # One call for all that want three masks, one for all that want one: the decoder's time goes by calls too. The
    # last regions are in both, though only one of their answers counts, so that every step has the same shapes.
    turn_BN2 = place_BN2[:, clicks + boxes :]
    three = _embed_together(sam, embedding, torch.cat([place_BN2[:, :clicks], turn_BN2], 1))
    one = _embed_together(sam, embedding, turn_BN2, box_BN4[:, clicks : clicks + boxes])
    three_of = _Answers(*sam.answer(embedding, *three, multimask=True), clicks + others)
    one_of = _Answers(*sam.answer(embedding, *one, multimask=False), others + boxes)

    graded = {"click": (*three_of.part(0, clicks), by_click), "box": (*one_of.part(others, None), by_box)}
    if others and int(torch.randint(2, (), generator=dice)):
        click = _clicked(turn_BN2.flatten(0, 1))
        logits, quality = (part.detach() for part in three_of.part(clicks, None))
        first = logits[torch.arange(len(quality)), quality.argmax(1)].float()
        second = _correct(sam, click, first, in_turn.flatten(0, 1), dice)
        graded["corrected"] = (*sam.decode(embedding, second, multimask=False), in_turn)
    elif others:
        graded["single"] = (*one_of.part(0, others), in_turn)

    loss = torch.zeros((), device=embedding.device)
    grades: dict[str, Tensor] = {}
    for kind, (logits, quality, target) in graded.items():
        if target.shape[1]:
            error, grades[f"{kind}_iou"] = grade(logits.float(), quality.float(), target.flatten(0, 1))
            loss = loss + error * (target.shape[1] / per_image)
    noted = {"loss": loss.detach(), **grades}
    if embedding.requires_grad:  # an encoder that rests has no use for it
        apart = grouping_loss(embedding.float(), lesson.part_BHW, sam.anatomy.patch)
        loss, noted["grouping"] = loss + apart, apart.detach()
    return loss, noted


@dataclass(frozen=True, slots=True)
class _Answers:
    """What one call of the decoder gave for `asked` questions about each image."""

    logits_NMhw: Tensor
    quality_NM: Tensor
    asked: int

    def part(self, first: int, last: int | None) -> tuple[Tensor, Tensor]:
        """The answers to some of every image's questions."""
        logits, quality = (
            whole.unflatten(0, (-1, self.asked))[:, first:last].flatten(0, 1)
            for whole in (self.logits_NMhw, self.quality_NM)
        )
        return logits, quality


def _clicked(place_N2: Tensor) -> Prompts:
    return Prompts(points_NP2=place_N2[:, None], labels_NP=torch.ones_like(place_N2[:, :1]))


def _embed_together(
    sam: Sam, embedding: Tensor, place_BN2: Tensor, box_BN4: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Clicks and boxes side by side: each is two tokens, of a point and of no point, or of two corners."""
    prompts = [_clicked(place_BN2.flatten(0, 1))] if place_BN2.shape[1] else []
    if box_BN4 is not None and box_BN4.shape[1]:
        prompts.append(Prompts(boxes_N4=box_BN4.flatten(0, 1)))
    sparse, dense = zip(*(sam.embed(embedding, kind) for kind in prompts), strict=True)
    return torch.cat(sparse, 1), dense[0]


def grouping_loss(embedding_BEhw: Tensor, part_BHW: Tensor, patch: int) -> Tensor:
    """Tokens of one part should look alike and others not: every pair of tokens inside parts is an example.

    SAM has no such loss; it has a billion masks. With a hundred thousand images an encoder that starts from nothing
    learns surfaces and edges from pairs long before it learns them through the mask decoder.
    """
    cells = part_BHW.unfold(1, patch, patch).unfold(2, patch, patch).flatten(3)
    part_BT = cells[..., 0].flatten(1)
    pure_BT = (cells == cells[..., :1]).all(-1).flatten(1)  # a token on an edge belongs to no one part
    direction_BTE = F.normalize(embedding_BEhw.flatten(2).transpose(1, 2), dim=-1)
    logits_BTT = 10 * (direction_BTE @ direction_BTE.transpose(1, 2)) - 5
    same_BTT = part_BT[:, :, None] == part_BT[:, None, :]
    counted_BTT = pure_BT[:, :, None] & pure_BT[:, None, :]
    error_BTT = F.binary_cross_entropy_with_logits(logits_BTT, same_BTT.float(), reduction="none")
    halves = (error_BTT[counted_BTT & same_BTT], error_BTT[counted_BTT & ~same_BTT])
    return sum((half.sum() / max(half.numel(), 1) for half in halves), start=error_BTT.new_zeros(()))


def grade(logits_NMhw: Tensor, quality_NM: Tensor, target_Nhw: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of the best mask of each prompt plus the error of all quality guesses; mean IoU of the mask guessed best."""
    target = target_Nhw[:, None].expand_as(logits_NMhw)
    per_mask_NM = 20 * _focal(logits_NMhw, target) + _dice(logits_NMhw, target)
    with torch.no_grad():
        found = logits_NMhw > 0
        truth = target > 0.5
        iou_NM = (found & truth).sum((2, 3)) / (found | truth).sum((2, 3)).clamp(min=1)
    loss = per_mask_NM.min(1).values.mean() + F.mse_loss(quality_NM, iou_NM)
    return loss, iou_NM.gather(1, quality_NM.argmax(1, keepdim=True)).mean()


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    surprise = (probability - target).abs()  # one minus the probability of the truth, for targets of 0 and 1
    # Unlike SAM's loss, background weighs no more than foreground: with 0.25 to 0.75 the first answers are all empty.
    return 0.5 * (surprise.square() * entropy).mean((2, 3))


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    probability = logits.sigmoid()
    overlap = (probability * target).sum((2, 3))
    return 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + target.sum((2, 3)) + 1)


def _shrink(mask_NHW: Tensor, factor: int) -> Tensor:
    """The mask at the decoder's resolution: a cell belongs when half of it does."""
    share = F.avg_pool2d(mask_NHW[:, None].float(), factor)[:, 0]
    return (share >= 0.5).float()


def _correct(sam: Sam, click: Prompts, logits_Nhw: Tensor, target_Nhw: Tensor, dice: torch.Generator) -> Prompts:
    """A second click on a random wrong cell of the first answer, with that answer as a mask prompt."""
    wrong = (logits_Nhw > 0) != (target_Nhw > 0.5)
    lottery = torch.rand(wrong.shape, generator=dice).to(wrong.device)
    cell = torch.where(wrong, lottery + 1, lottery).flatten(1).argmax(1)  # any cell where nothing is wrong
    w = target_Nhw.shape[2]
    place = torch.stack([cell % w, cell // w], -1).float() * (sam.anatomy.patch // 4) + 0.5
    label = target_Nhw.flatten(1).gather(1, cell[:, None])
    assert click.points_NP2 is not None
    assert click.labels_NP is not None
    return Prompts(
        points_NP2=torch.cat([click.points_NP2, place[:, None]], 1),
        labels_NP=torch.cat([click.labels_NP, label], 1),
        masks_N1HW=logits_Nhw[:, None].clamp(-32, 32),
    )
