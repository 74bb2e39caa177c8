"""Scores of a three-band method over several triples: E2SAM's "C3*", with the spread its paper leaves out."""

from collections.abc import Mapping, Sequence

from sensam.methods.triples import Names


def summarise(scores: Mapping[Names, Mapping[str, float]]) -> str:
    """A table of each triple's own scores, then mean and spread of every metric; a single triple is labelled so."""
    metrics = list(next(iter(scores.values())))
    rows = [["bands", *metrics]]
    rows += [[" ".join(names), *(f"{each[metric]:.4f}" for metric in metrics)] for names, each in scores.items()]
    if len(scores) > 1:
        columns = [[each[metric] for each in scores.values()] for metric in metrics]
        rows.append(
            [
                f"C3*, mean of {len(scores)} triples",
                *(f"{mean:.4f} ± {spread:.4f}" for mean, spread in map(_spread, columns)),
            ]
        )
    else:
        rows[1][0] += " (C3, a single triple)"
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation."""
    mean = sum(values) / len(values)
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
