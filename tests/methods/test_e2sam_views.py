"""E2SAM: which triples a sample is given, and who sees noise, raw values and what has no data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sensam.data.published.sfdd_h8 import ahi_uint8
from sensam.errors import SettingsError
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.tutor import resampled
from sensam.nn.selector import count_triples
from sensam.sensors import Sensor
from tests.methods.conftest import moment
from tests.methods.e2sam_losses import drawn, inherit, planes_of, seen_by

Make = Callable[..., Any]


def test_triples_depend_on_seed_epoch_and_sample_alone(make_e2sam: Make, make_batch: Make) -> None:
    method, batch = make_e2sam(9, triples=3), make_batch(9, count=4)
    triples = drawn(method, batch)
    assert torch.equal(triples, drawn(make_e2sam(9, triples=3), batch))
    assert not torch.equal(triples, drawn(method, batch, seed=1))
    assert not torch.equal(triples, drawn(method, batch, epoch=1))
    half = replace(batch, image_BCHW=batch.image_BCHW[2:], keys=batch.keys[2:])
    assert torch.equal(drawn(method, half, step=1), triples[2:])
    assert len({tuple(map(tuple, row)) for row in triples.tolist()}) == 4


def test_as_published_all_samples_of_a_step_share_a_triple(make_e2sam: Make, make_batch: Make) -> None:
    method = make_e2sam(9, protocol="paper", teacher_input="standardise")
    triples = drawn(method, make_batch(9, count=4))
    assert len(triples.unique(dim=0)) == 1
    assert method.config.noisy_teacher
    assert method.config.one_triple_a_step
    assert E2SamConfig(protocol="paper").teacher_input == "raw"
    assert E2SamConfig().teacher_input == "standardise"


def test_a_bank_gives_every_image_its_own_few_triples(make_e2sam: Make, make_batch: Make) -> None:
    method, batch = make_e2sam(8, bank=3), make_batch(8, count=2)
    seen = torch.cat([drawn(method, batch, epoch=epoch) for epoch in range(20)], 1)
    assert [len(image.unique(dim=0)) for image in seen] == [3, 3]
    assert not torch.equal(seen[0].unique(dim=0), seen[1].unique(dim=0))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 16])
def test_a_bank_holds_no_triple_twice(make_e2sam: Make, make_batch: Make, bands: int) -> None:
    method, batch = make_e2sam(bands, bank=16, triples=3), make_batch(bands, count=2)
    seen = torch.cat([drawn(method, batch, epoch=epoch) for epoch in range(99)], 1)
    assert seen.shape == (2, 297, 3)
    assert [len(image.unique(dim=0)) for image in seen] == [min(16, count_triples(bands))] * 2


def test_noise_reaches_the_student_alone_unless_asked_otherwise(make_e2sam: Make, make_batch: Make) -> None:
    batch = make_batch(3)
    teacher, student = seen_by(make_e2sam(3, noise=0.5), batch)
    assert (student - batch.image_BCHW).std().item() == pytest.approx(0.5, rel=0.05)
    triples = drawn(make_e2sam(3), batch)
    assert torch.equal(teacher, planes_of(batch.image_BCHW, triples))
    both = make_e2sam(3, noise=0.5, noisy_teacher=True)
    teacher, student = seen_by(both, batch)
    assert torch.equal(teacher, planes_of(student, triples))


def test_noise_is_the_same_again_and_silent_in_validation(make_e2sam: Make, make_batch: Make) -> None:
    method, batch = make_e2sam(), make_batch()
    method.train()
    assert torch.equal(method._noisy(batch, moment(3)), method._noisy(batch, moment(3)))
    assert not torch.equal(method._noisy(batch, moment(3)), method._noisy(batch, moment(4)))
    method.eval()
    assert torch.equal(method._noisy(batch, moment(3)), batch.image_BCHW)


def test_raw_input_is_the_valid_range_around_zero(make_task: Make, make_batch: Make) -> None:
    bands = [{"name": f"b{n}", "mean": 10.0 * n, "std": 2.0 + n, "valid_range": (-100, 100 + n)} for n in range(3)]
    task = replace(make_task(3), sensor=Sensor.from_dict({"name": "ranged", "bands": bands}))
    method, batch = E2Sam(task, E2SamConfig(teacher_input="raw", noise=0)), make_batch(3)
    teacher, student = seen_by(method, batch)
    assert torch.equal(student, batch.image_BCHW)
    triple = drawn(method, batch)[0, 0].tolist()
    for slot, band in enumerate(triple):
        physical = batch.image_BCHW[0, band] * (2 + band) + 10 * band
        torch.testing.assert_close(teacher[0, slot], (physical + 100) / (200 + band) - 0.5)


def test_raw_input_of_the_published_fog_is_what_the_authors_feed(make_task: Make, make_batch: Make) -> None:
    method = E2Sam(replace(make_task(16), sensor=ahi_uint8()), E2SamConfig(protocol="paper", noise=0))
    batch = make_batch(16)
    teacher, _ = seen_by(method, batch)
    torch.testing.assert_close(teacher, planes_of(batch.image_BCHW, drawn(method, batch)))


def test_raw_input_needs_valid_ranges(make_e2sam: Make) -> None:
    with pytest.raises(SettingsError, match="b0, b1"):
        make_e2sam(teacher_input="raw")


def test_what_has_no_data_teaches_nothing(make_e2sam: Make, make_batch: Make) -> None:
    batch = make_batch()
    valid = batch.valid_BHW.clone()
    valid[:, :, 16:] = False
    image = batch.image_BCHW * valid[:, None]
    method = make_e2sam(noise=0)
    weight = method._weight(replace(batch, valid_BHW=valid))
    assert weight is not None
    assert weight[:, :, :2].all()
    assert not weight[:, :, 2:].any()
    nothing = replace(batch, image_BCHW=image, valid_BHW=torch.zeros_like(valid))
    losses = inherit(method, nothing)
    assert losses["loss"].item() == 0


def test_noise_and_another_scale_leave_what_has_no_data_at_zero(make_task: Make, make_batch: Make) -> None:
    batch = make_batch(16)
    valid = batch.valid_BHW.clone()
    valid[:, :, 16:] = False
    without = replace(batch, image_BCHW=batch.image_BCHW * valid[:, None], valid_BHW=valid)
    bands = [{"name": f"b{n}", "mean": 5.0, "std": 2.0, "valid_range": (-100, 300)} for n in range(16)]
    task = replace(make_task(16), sensor=Sensor.from_dict({"name": "ranged", "bands": bands}))
    seen = seen_by(E2Sam(task, E2SamConfig(teacher_input="raw", noise=0.5)), without)
    for name, image in zip(("teacher", "student"), seen, strict=True):
        assert image[..., :16].all(), name
        assert not image[..., 16:].any(), name


@pytest.mark.parametrize(("side", "tokens", "shown"), [(20, 3, 16), (33, 5, 8), (32, 4, 8)])
def test_a_token_counts_by_the_pixels_of_its_own_patch(
    make_e2sam: Make, make_batch: Make, side: int, tokens: int, shown: int
) -> None:
    batch = make_batch(count=1, size=side)
    valid = torch.zeros_like(batch.valid_BHW)
    valid[:, :, :shown] = True
    method, without = make_e2sam(), replace(batch, valid_BHW=valid)
    weight = method._weight(without)
    assert weight.shape == (1, tokens, tokens)
    assert weight[0, 0].tolist() == [1] * (shown // 8) + [0] * (tokens - shown // 8)
    assert method._mass(without) == weight.sum()


@pytest.mark.parametrize(("side", "own", "theirs"), [(36, 16, 8), (52, 8, 16), (68, 8, 16), (72, 16, 12), (48, 16, 8)])
def test_a_student_of_another_patch_is_compared_where_the_teacher_looks(side: int, own: int, theirs: int) -> None:
    """A map that holds the places of its tokens must still hold them on the teacher's grid."""

    def places(patch: int) -> torch.Tensor:
        return torch.arange(-(-side // patch)) * patch + patch / 2

    map_RhwE = torch.stack(torch.meshgrid(places(own), places(own), indexing="ij"), -1)[None]
    found = resampled(map_RhwE, (len(places(theirs)),) * 2, patch=own, onto=theirs)
    wanted = torch.stack(torch.meshgrid(places(theirs), places(theirs), indexing="ij"), -1)[None]
    reach = max(own, theirs)
    inside = (wanted >= reach).all(-1) & (wanted <= side - reach).all(-1)
    assert inside.any()
    torch.testing.assert_close(found[inside], wanted[inside])


@pytest.mark.parametrize("match", ["mmd_token", "mmd_batch"])
def test_discrepancies_leave_out_tokens_and_images_without_data(make_e2sam: Make, make_batch: Make, match: str) -> None:
    method, batch = make_e2sam(match=match, triples=2), make_batch(count=4)
    valid = batch.valid_BHW.clone()
    valid[:2, :, 16:] = False
    valid[3] = False
    weight = method._weight(replace(batch, valid_BHW=valid)).repeat_interleave(2, 0)
    found, target = torch.randn(2, 8, 4, 4, 16)
    loss = method._discrepancy(found, target, weight)
    changed = found + 9 * (weight == 0)[..., None]
    torch.testing.assert_close(method._discrepancy(changed, target, weight), loss)
    torch.testing.assert_close(method._discrepancy(found[:6], target[:6], weight[:6]), loss)
    whole = weight > -1
    torch.testing.assert_close(method._discrepancy(found, target, whole), method._discrepancy(found, target, None))
    assert method._mass(replace(batch, valid_BHW=valid)) == 3
    nothing = replace(batch, valid_BHW=torch.zeros_like(valid))
    assert inherit(method, nothing)["loss"].item() == method._mass(nothing) == 0


def test_missing_bands_are_a_matter_of_training_alone(make_e2sam: Make, make_batch: Make) -> None:
    method = make_e2sam(8, noise=0, band_dropout=0.5)
    _, student = seen_by(method, make_batch(8))
    missing = ~student.flatten(2).any(2)
    assert 0 < missing.float().mean() < 1
    teacher, _ = seen_by(make_e2sam(8, noise=0, band_dropout=0.5), make_batch(8))
    assert teacher.flatten(2).any(2).all()
