"""Do features of different domains mix: a picture by t-SNE, and a number that needs no picture."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensam.evaluate.compare.plan import stem_of
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.records import Evidence
from sensam.evaluate.report.page import paragraph, plot, side_by_side
from sensam.evaluate.report.plots import draw_domains, save

NEIGHBOURS = 5
MOST_DRAWN = 4  # entries
FEWEST_IMAGES = 8


def mixing(features_NE: NDArray[np.float32], domains: tuple[str, ...]) -> float:
    """How many of the nearest neighbours are of another domain, over how many would be if domains did not matter."""
    count = len(domains)
    normed = features_NE - features_NE.mean(0)
    normed = normed / np.maximum(normed.std(0), 1e-12)
    distances = ((normed[:, None] - normed[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(NEIGHBOURS, count - 1)]
    names = np.array(domains)
    other = float((names[nearest] != names[:, None]).mean())
    expected = float(np.mean([(names != name).sum() / (count - 1) for name in names]))
    return other / expected if expected else 0.0


def has_domains(evidence: Evidence) -> bool:
    """Whether there are features, and more than one domain to tell apart."""
    return evidence.features_NE is not None and len(set(evidence.domains)) > 1 and len(evidence.keys) >= FEWEST_IMAGES


def draw_features(outcome: Outcome, folder: Path) -> str:
    """One scatter for each entry, its features of the images in two dimensions."""
    seed, share = outcome.first_seed, outcome.full
    found = {name: outcome.evidence.get((name, seed, share)) for name in outcome.entries}
    drawn = {name: each for name, each in found.items() if each is not None and has_domains(each)}
    if not drawn:
        return ""
    blocks = []
    for name in sorted(drawn, key=lambda name: not _is_of_the_figure(outcome, name))[:MOST_DRAWN]:
        each = drawn[name]
        assert each.features_NE is not None
        mixed = mixing(each.features_NE, each.domains)
        svg = save(
            draw_domains(embed(each.features_NE), each.domains, name), folder / "plots" / f"features-{stem_of(name)}"
        )
        blocks.append(plot(svg, f"Mixing {mixed:.2f}: 1 where domains do not matter, 0 where each keeps to itself."))
    note = paragraph(
        f"Mean embedding of each test image (seed {seed}), by t-SNE. Distances between far groups mean nothing; "
        f"mixing counts the {NEIGHBOURS} nearest neighbours in the full space.",
        soft=True,
    )
    return note + side_by_side(*blocks)


def _is_of_the_figure(outcome: Outcome, name: str) -> bool:
    """Whether an entry began at random, or inherited: what is set beside each other comes before all others."""
    record = outcome.costs(name)
    return record.method == "scratch" or len(record.costs.steps) > 1


def embed(features_NE: NDArray[np.float32]) -> NDArray[np.float64]:
    """t-SNE, started from principal components so that it is the same every time."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features_NE) - 1) / 3)
    reducer = TSNE(perplexity=perplexity, init="pca", random_state=0, learning_rate="auto")
    return np.asarray(reducer.fit_transform(features_NE.astype(np.float64)))
