"""The ledger says what was printed, and every cell that contradicts the rest of its table is marked."""

import pytest

from sensam.errors import SettingsError
from sensam.evaluate.claims import PAPERS, Paper, load_paper, load_papers
from sensam.evaluate.claims.audit import (
    IDENTITY_SLACK,
    ROUNDING,
    check_deltas,
    check_identity,
    implied_miou,
    printed_supports,
    rates,
    weighted_mean,
)
from sensam.evaluate.claims.ledger import DELTA

TEST_SIZES = {"Daytime": 1268, "Dawn/dusk": 596, "Night": 640}


@pytest.fixture(scope="module")
def e2sam() -> Paper:
    return load_paper("e2sam")


def test_every_delta_is_right_or_marked(e2sam: Paper) -> None:
    findings = list(check_deltas(e2sam))
    assert len(findings) == 4 + 4 * 3 + 3 + 3 + 4 * 4
    wrong = {(finding.row, finding.cell) for finding in findings if finding.gap > 0.005 + 1e-9}
    marked = {(finding.row, finding.cell) for finding in findings if finding.is_flagged}
    assert wrong <= marked
    # A mark that nothing needs would hide a later mistake of ours; Rand's "All" and allAcc are wrong by other evidence.
    assert marked - wrong == {("daytime-ours", "delta All")}


def test_deltas_that_only_rounding_explains(e2sam: Paper) -> None:
    gaps = {(finding.row, finding.cell): finding.gap for finding in check_deltas(e2sam)}
    assert gaps["shift-ours", "delta mIoU"] <= ROUNDING
    assert gaps["all-ours", "delta All"] <= ROUNDING


def test_the_right_delta_is_what_the_scores_give(e2sam: Paper) -> None:
    for row in e2sam.rows:
        for flag in row.flags:
            if flag.cell.startswith(DELTA) and row.against and flag.likely is not None:
                cell = flag.cell.removeprefix(DELTA)
                difference = row.values[cell] - e2sam.row(row.against).values[cell]
                assert flag.likely == pytest.approx(difference, abs=0.005), (row.id, cell)


def test_two_class_scores_obey_the_identity_or_are_marked(e2sam: Paper) -> None:
    findings = list(check_identity(e2sam))
    assert len(findings) == 8
    broken = {finding.row for finding in findings if finding.gap > IDENTITY_SLACK}
    assert broken == {finding.row for finding in findings if finding.is_flagged} == {"h8-rand16", "h8-sam3-512"}


def test_marked_cells_name_the_value_that_fits(e2sam: Paper) -> None:
    rand, small = e2sam.row("h8-rand16"), e2sam.row("h8-sam3-512")
    overall, miou = rand.flag("allAcc"), small.flag("mIoU")
    assert overall is not None
    assert overall.likely is not None
    assert implied_miou(rand.values["CSI"], overall.likely) == pytest.approx(rand.values["mIoU"], abs=0.02)
    for other in ("h8-resam", "h8-repe", "h8-ours"):
        row = e2sam.row(other)
        assert row.values["allAcc"] - row.deltas["allAcc"] == pytest.approx(overall.likely, abs=0.015)
    assert miou is not None
    assert implied_miou(small.values["CSI"], small.values["allAcc"]) == pytest.approx(miou.likely, abs=0.005)


def test_the_pooled_score_is_the_mean_of_its_parts_or_marked(e2sam: Paper) -> None:
    for row in e2sam.rows:
        if row.table == 2:
            gap = abs(weighted_mean(row, TEST_SIZES) - row.values["All"])
            assert (gap < 0.5) == (row.flag("All") is None), row.id
    assert weighted_mean(e2sam.row("daytime-rand"), TEST_SIZES) == pytest.approx(66.43, abs=0.005)


@pytest.mark.parametrize(
    ("row", "recall", "precision"),
    [("h8-rand3", 46.6, 57.6), ("h8-sam3", 73.6, 72.9), ("h8-resam", 80.7, 69.8), ("h8-ours", 75.9, 76.5)],
)
def test_implied_recall_and_precision(e2sam: Paper, row: str, recall: float, precision: float) -> None:
    values = e2sam.row(row).values
    assert rates(values["CSI"], values["allAcc"], 3.61) == pytest.approx((recall, precision), abs=0.35)


def test_identity_on_counts() -> None:
    hits, missed, alarms, rest = 300, 100, 60, 9540
    csi = 100 * hits / (hits + missed + alarms)
    background = 100 * rest / (rest + missed + alarms)
    accuracy = 100 * (hits + rest) / 10_000
    assert implied_miou(csi, accuracy) == pytest.approx((csi + background) / 2)
    assert rates(csi, accuracy, 4.0) == pytest.approx((75.0, 100 * 300 / 360))


def test_printed_numbers_say_what_the_claims_say() -> None:
    for paper in load_papers():
        for claim in paper.claims:
            assert printed_supports(paper, claim) in {True, None}, claim.id


def test_claims_rest_on_the_differences_that_the_paper_states(e2sam: Paper) -> None:
    found = {claim.id: list(e2sam.differences(claim)) for claim in e2sam.claims}
    assert found["A1"] == [17.52, 14.45]
    assert found["A2"] == [23.10, 9.43]
    assert found["A5"] == [-0.34, 0.20]
    assert list(load_paper("simmat").differences(load_paper("simmat").claim("S1"))) == [31.73]
    assert not load_paper("cwsam").rows  # nothing of its tables could be read, so nothing stands here


def test_ours_beats_rand_in_every_cell_of_the_second_table(e2sam: Paper) -> None:
    cells = [
        row.values[cell] - e2sam.row(row.against).values[cell]
        for row in e2sam.rows
        if row.table == 2 and row.against
        for cell in row.values
    ]
    assert len(cells) == 16
    assert min(cells) > 0


def test_names(e2sam: Paper) -> None:
    assert [claim.id for claim in e2sam.claims] == [f"A{number}" for number in range(1, 11)]
    assert [paper.key for paper in load_papers()] == list(PAPERS)
    with pytest.raises(SettingsError, match="Did you mean 'e2sam'"):
        load_paper("e3sam")
    with pytest.raises(SettingsError, match="claim of e2sam"):
        e2sam.claim("B1")
    for paper in load_papers():
        for claim in paper.claims:
            for contrast in claim.printed:
                paper.row(contrast.left)
                paper.row(contrast.right)
