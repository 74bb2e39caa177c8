"""A comparison whose numbers are drawn instead of trained, for tests of what is said and shown about it."""

from collections.abc import Mapping, Sequence

import numpy as np

from sensam.evaluate.outcome import CellKey, Outcome
from sensam.evaluate.records import CellRecord, Costs, Evidence, SplitScores
from sensam.evaluate.report.panels import kept_keys, reduced
from sensam.evaluate.statistics import miou_of

CLASSES = ("sea", "land", "low cloud", "high cloud", "fog")
COLOURS = ((31, 78, 140), (138, 122, 74), (185, 195, 204), (127, 208, 232), (242, 169, 0))
SKILLS = {"scratch": 0.62, "unet": 0.71, "resam": 0.78, "e2sam": 0.785}


def made_up_outcome(
    skills: Mapping[str, float] = SKILLS,
    seeds: Sequence[int] = (0, 1, 2),
    shares: Sequence[float] = (0.1, 0.3, 1.0),
    images: int = 20,
    truth: Sequence[tuple[str, np.ndarray]] | None = None,
) -> Outcome:
    """Answers that are right as often as an entry's skill says, on the same images for every entry."""
    random = np.random.default_rng(0)
    if truth is None:
        truth = [(f"scene-{number:02d}", random.integers(0, 5, (16, 16)).astype(np.uint8)) for number in range(images)]
    hardness = random.normal(0, 0.05, len(truth))
    records: dict[CellKey, CellRecord] = {}
    evidence: dict[CellKey, Evidence] = {}
    for place, (entry, skill) in enumerate(skills.items()):
        for seed in seeds:
            luck = random.normal(0, 0.008)
            for share in shares:
                rights = np.clip(skill + luck + hardness + 0.08 * np.log10(share), 0.05, 0.99)
                found = _answer(random, truth, rights)
                evidence[entry, seed, share] = found
                records[entry, seed, share] = _record(entry, seed, share, found, place)
    return Outcome("fog", CLASSES, COLOURS, tuple(skills), tuple(seeds), tuple(shares), records, evidence, "test")


def _answer(random: np.random.Generator, truth: Sequence[tuple[str, np.ndarray]], rights: np.ndarray) -> Evidence:
    keys = tuple(key for key, _ in truth)
    shown = kept_keys(keys)
    tables, answers = [], []
    for (key, label_HW), right in zip(truth, rights, strict=True):
        wrong_HW = random.random(tuple(-(-side // 4) for side in label_HW.shape)).repeat(4, 0).repeat(4, 1)
        wrong_HW = wrong_HW[: label_HW.shape[0], : label_HW.shape[1]] > right
        answer_HW = np.where(wrong_HW & (label_HW < 5), (label_HW + 1) % 5, np.minimum(label_HW, 4)).astype(np.uint8)
        known = label_HW < 5
        table = np.zeros((5, 5), np.int64)
        np.add.at(table, (label_HW[known], answer_HW[known]), 1)
        tables.append(table)
        if key in shown:
            answers.append(reduced(answer_HW))
    domains = tuple("morning" if number % 2 else "noon" for number in range(len(truth)))
    return Evidence(keys, domains, np.stack(tables), shown, np.stack(answers))


def _record(entry: str, seed: int, share: float, found: Evidence, place: int) -> CellRecord:
    score = float(miou_of(found.confusion_NKK.sum(0)))
    scores = SplitScores(miou=score, accuracy=score, iou=dict.fromkeys(CLASSES, score), domains={}, images=20)
    costs = Costs(
        seconds={"finetune": 40.0 + 25 * place + seed},
        steps={"inherit": 400, "finetune": 200} if entry == "e2sam" else {"finetune": 200},
        peak_memory_mb=800.0 + 100 * place,
        trained=3_000_000 // (place + 1),
        total=3_000_000,
        gflops=4.2 + place,
    )
    return CellRecord(
        entry=entry,
        method=entry,
        seed=seed,
        share=share,
        data="fog",
        data_hash="0123456789abcdef",
        costs=costs,
        scores={"test": scores},
        device="cpu",
        versions={"sensam": "0"},
        command=f"sensam train fog --method {entry}",
    )
