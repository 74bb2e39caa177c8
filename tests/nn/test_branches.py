"""Branches and merge: each slot reads its own band, only the chosen learn, and they count as many as the authors'."""

import pytest
import torch

from sensam.nn.branches import Branches, Merge


def test_they_have_as_many_parameters_as_the_authors() -> None:
    branches, merge = Branches(16, 768, 256), Merge(256)
    assert sum(weight.numel() for weight in branches.parameters()) == 16 * 197_376
    assert sum(weight.numel() for weight in merge.parameters()) == 197_120


@pytest.mark.parametrize("triples", [[[[0, 2, 3]], [[3, 2, 0]]], [[[1, 1, 1], [0, 2, 4]], [[4, 3, 0], [4, 3, 2]]]])
def test_columns_come_from_the_branch_of_the_band_in_each_slot(triples: list[list[list[int]]]) -> None:
    branches, tokens = Branches(5, 12, 8), torch.randn(2, 3, 4, 12)
    columns = branches(tokens, torch.tensor(triples))
    assert columns.shape == (2, len(triples[0]), 3, 4, 24)
    for image, of_image in enumerate(triples):
        for number, triple in enumerate(of_image):
            for slot, band in enumerate(triple):
                found = columns[image, number, ..., 8 * slot : 8 * (slot + 1)]
                torch.testing.assert_close(found, branches.of_band[band](tokens[image]))


def test_another_order_moves_the_columns_with_it() -> None:
    branches, tokens = Branches(4, 12, 8), torch.randn(1, 2, 2, 12)
    one, other = (branches(tokens, torch.tensor([[triple]])).unflatten(-1, (3, 8)) for triple in ([0, 1, 2], [2, 0, 1]))
    torch.testing.assert_close(one[..., [2, 0, 1], :], other)


def test_bands_that_were_not_chosen_get_no_gradient_and_stay_as_they_are() -> None:
    branches, merge = Branches(6, 12, 8), Merge(8)
    before = {name: weight.clone() for name, weight in branches.named_parameters()}
    optimiser = torch.optim.AdamW(branches.parameters(), weight_decay=0.5)
    # The second time band 5 is left out as well, of which the optimiser remembers the first.
    for triples, unchosen in (([[[0, 1, 5]], [[1, 0, 2]]], (3, 4)), ([[[0, 1, 2]], [[2, 0, 1]]], (3, 4, 5))):
        resting = [weight for band in unchosen for weight in branches.of_band[band].parameters()]
        held = [weight.clone() for weight in resting]
        optimiser.zero_grad()
        merge(branches(torch.randn(2, 2, 2, 12), torch.tensor(triples))).square().sum().backward()
        assert all(weight.grad is None for weight in resting)
        optimiser.step()
        assert all(torch.equal(weight, kept) for weight, kept in zip(resting, held, strict=True))
    for name, weight in branches.named_parameters():
        assert torch.equal(weight, before[name]) == (int(name.split(".")[1]) in (3, 4))


def test_merging_is_the_authors_convolution() -> None:
    merge, columns = Merge(8), torch.randn(1, 1, 3, 4, 24)
    weights = merge.mix.weight[:, :, None, None]
    mixed = torch.nn.functional.conv2d(columns[0].permute(0, 3, 1, 2), weights).permute(0, 2, 3, 1)
    torch.testing.assert_close(merge(columns)[0], merge.norm(mixed), atol=1e-5, rtol=1e-5)
