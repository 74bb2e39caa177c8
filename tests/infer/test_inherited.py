"""A student that answers clicks: in its teacher's space, for all bands, by a triple, by several, or by its own neck."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sensam.errors import SettingsError
from sensam.infer.inherited import inherited_predictor, three_band_predictor
from sensam.infer.promptable import Predictor
from sensam.methods.base import Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.inherited import averaged_triples
from sensam.methods.scratch import Scratch
from sensam.methods.segmenting import SegmentingConfig
from sensam.sam.anatomy import SIZES
from tests.methods.conftest import make_batch, make_task

__all__ = ["make_batch", "make_task"]  # fixtures
Make = Callable[..., Any]


def embedding(predictor: Predictor, image: torch.Tensor) -> torch.Tensor:
    return predictor.sam.encode(image[None])


@pytest.mark.parametrize("bands", [1, 2, 3, 13])
@pytest.mark.parametrize("by", ["rgb", "average", "neck"])
def test_it_answers_clicks_on_any_number_of_bands(make_task: Make, bands: int, by: Any) -> None:
    method = E2Sam(make_task(bands), E2SamConfig(neck_loss=1.0))
    predictor = inherited_predictor(method, by)
    predictor.set_image(torch.randn(24, 32, bands).numpy())
    found = predictor.predict(points=(9, 20))
    assert found.masks_NMHW.shape == (1, 3, 24, 32)


def test_by_a_triple_it_is_what_inheriting_compares_with_the_teacher(make_task: Make) -> None:
    method, image = E2Sam(make_task(5), E2SamConfig()).eval(), torch.randn(5, 32, 32)
    tokens = method.net.encoder.tokens(image[None])
    merged = method.merge(method.branches(tokens, torch.tensor([[[4, 0, 2]]])))[:, 0]
    expected = method.teacher.share(merged).permute(0, 3, 1, 2)
    found = embedding(inherited_predictor(method, "average", [("b4", "b0", "b2")]), image)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, embedding(inherited_predictor(method, "average", [("b0", "b4", "b2")]), image))


def test_a_student_that_is_the_teacher_gives_the_teachers_masks(make_task: Make) -> None:
    task = make_task(3)
    method = E2Sam(task, E2SamConfig(student_init="sam", neck_loss=1.0)).eval()
    kernel = task.sam.vision_encoder.patch_embed.projection.weight
    method.net.encoder.patch_embed.projection.weight.data.copy_(kernel)
    image = torch.randn(32, 32, 3).numpy()
    ours, sam = inherited_predictor(method, "neck"), three_band_predictor(task.sam, task.sensor, (0, 1, 2))
    for predictor in (ours, sam):
        predictor.set_image(image)
    for prompt in ({"points": (5, 7)}, {"boxes": (2, 3, 20, 30)}):
        one, other = (each.predict(**prompt) for each in (ours, sam))
        torch.testing.assert_close(one.low_res_logits_NMhw, other.low_res_logits_NMhw, rtol=1e-4, atol=1e-4)


def test_an_average_is_finished_by_sams_own_norm(make_task: Make) -> None:
    method, image = E2Sam(make_task(6), E2SamConfig()).eval(), torch.randn(6, 32, 32)
    found = embedding(inherited_predictor(method, "average"), image)
    norm = method.teacher.neck.layer_norm2
    plain = (found.permute(0, 2, 3, 1) - norm.bias) / norm.weight
    torch.testing.assert_close(plain.std(-1, correction=0), torch.ones(1, 4, 4), rtol=1e-3, atol=1e-3)


def test_averaged_triples_are_balanced_and_fixed() -> None:
    for bands in (1, 2, 3, 7, 16):
        triples = averaged_triples(bands)
        assert len(set(triples)) == len(triples) <= 16
        assert triples == averaged_triples(bands)
        assert set(sum(triples, ())) == set(range(bands))


@pytest.mark.slow
def test_a_student_with_smaller_patches_answers_on_its_teachers_grid(make_task: Make) -> None:
    task: Task = make_task(4, patch=16, image_size=64)
    assert SIZES["nano"].patch == 8
    predictor = inherited_predictor(E2Sam(task, E2SamConfig(student="nano")), "rgb")
    assert embedding(predictor, torch.randn(4, 64, 40)).shape == (1, 16, 4, 3)


def test_neither_task_nor_method_changes_and_decoders_are_copies(make_task: Make) -> None:
    method = E2Sam(make_task(4), E2SamConfig())
    sam = method.promptable()
    assert sam is not None
    assert sam.anatomy.bands == 4
    assert sam.prompt_encoder.shared_embedding is sam.shared_image_embedding
    theirs = dict(method.task.sam.mask_decoder.named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in sam.mask_decoder.named_parameters())
    assert not {id(weight) for weight in sam.mask_decoder.parameters()} & {id(weight) for weight in theirs.values()}
    assert isinstance(sam.vision_encoder, nn.Module)


def test_after_finetuning_it_answers_no_clicks_and_says_so(make_task: Make) -> None:
    method = E2Sam(make_task(4), E2SamConfig())
    for part in method.stages[0].discards:
        delattr(method, part)
    assert method.promptable() is None
    with pytest.raises(SettingsError, match="stage inherit"):
        inherited_predictor(method, "rgb")


def test_mistakes_are_told(make_task: Make) -> None:
    task = make_task(4)
    with pytest.raises(SettingsError, match="Scratch inherits nothing"):
        inherited_predictor(Scratch(task, SegmentingConfig()))
    with pytest.raises(SettingsError, match="average"):
        inherited_predictor(E2Sam(task, E2SamConfig()), "averge")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(SettingsError, match="neck_loss"):
        inherited_predictor(E2Sam(task, E2SamConfig()), "neck")
