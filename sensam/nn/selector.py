"""Which three bands a teacher is shown: ordered triples, each as likely as any other, none favoured over a bank."""

import torch
from torch import Tensor

_SHOWING_TWO = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])


def count_triples(bands: int) -> int:
    """How many different triples there are."""
    return {1: 1, 2: len(_SHOWING_TWO)}.get(bands, bands * (bands - 1) * (bands - 2))


def draw_triples(generator: torch.Generator, bands: int, count: int) -> Tensor:
    """Triples, count x 3. Each is uniform over all ordered triples of different bands; together they are balanced:
    no band comes twice before every other came once.

    A sensor of two bands repeats one of them, so that every triple shows both; one band is shown three times, as a
    grey photograph would be.
    """
    if bands == 1:
        return torch.zeros(count, 3, dtype=torch.long)
    if bands == 2:
        return _SHOWING_TWO[torch.randint(len(_SHOWING_TWO), (count,), generator=generator)]
    drawn: list[int] = []
    while len(drawn) < 3 * count:
        fresh = torch.randperm(bands, generator=generator).tolist()
        begun = drawn[len(drawn) // 3 * 3 :]  # a triple must not get a band again that it has already
        drawn += [band for band in fresh if band not in begun] + [band for band in fresh if band in begun]
    return torch.tensor(drawn[: 3 * count]).view(count, 3)


def draw_bank(generator: torch.Generator, bands: int, count: int) -> Tensor:
    """Different triples, as many as asked for or as there are: those that `draw_triples` gives, and others for what
    it gives twice."""
    wanted = min(count, count_triples(bands))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < wanted:
        found |= dict.fromkeys(map(tuple, draw_triples(generator, bands, count).tolist()))
    return torch.tensor(list(found)[:wanted])


def choose_from_bank(generator: torch.Generator, bank_K3: Tensor, count: int) -> Tensor:
    """Triples of a bank, count x 3, each as likely as any other; none comes twice before all others came once."""
    rounds = [torch.randperm(len(bank_K3), generator=generator) for _ in range(0, count, len(bank_K3))]
    return bank_K3[torch.cat(rounds)[:count]]
