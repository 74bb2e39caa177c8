"""The ledger says what was printed, and every cell that contradicts the rest of its table is marked."""

from collections.abc import Iterator

import pytest

from sensam.errors import SettingsError
from sensam.evaluate.claims import PAPERS, Claim, Paper, Row, load_paper, load_papers
from sensam.evaluate.claims.ledger import Flag
from sensam.train.confusion import implied_miou

TEST_SIZES = {"Daytime": 1268, "Dawn/dusk": 596, "Night": 640}
DELTA = "delta "  # before a cell's name: the difference printed beside it
ROUNDING = 0.0101  # of a difference of two numbers that were rounded to 0.01 each
IDENTITY_SLACK = 0.02  # of the mIoU that two rounded scores imply, in points


@pytest.fixture(scope="module")
def e2sam() -> Paper:
    return load_paper("e2sam")


def flag_of(row: Row, cell: str) -> Flag | None:
    return next((flag for flag in row.flags if flag.cell == cell), None)


def wrong_by(paper: Paper) -> Iterator[tuple[str, str, float, bool]]:
    """Row, cell, how far each printed difference is from the scores', and whether one of the three cells is marked."""
    for row in paper.rows:
        if row.against is None:
            continue
        base = paper.row(row.against)
        for cell, printed in row.deltas.items():
            known = (flag_of(row, DELTA + cell), flag_of(row, cell), flag_of(base, cell))
            recomputed = round(row.values[cell] - base.values[cell], 2)
            yield row.id, DELTA + cell, abs(printed - recomputed), any(known)


def implied(csi: float, all_accuracy: float) -> float:
    """The mIoU of a two-class result, from IoU of its positive class and overall accuracy; all in points of 100."""
    return 100 * implied_miou(all_accuracy / 100, csi / 100)


def weighted_mean(row: Row) -> float:
    """The mean of a row's parts by how many samples each has."""
    return sum(row.values[name] * count for name, count in TEST_SIZES.items()) / sum(TEST_SIZES.values())


def printed_supports(paper: Paper, claim: Claim) -> bool | None:
    """Whether the printed numbers say what the claim says; None where no numbers are printed."""
    found = list(paper.differences(claim))
    if not found:
        return None
    if claim.margin is not None:
        return all(abs(difference) < claim.margin for difference in found)
    return all(difference > 0 for difference in found)


def test_every_delta_is_right_or_marked(e2sam: Paper) -> None:
    findings = list(wrong_by(e2sam))
    assert len(findings) == 4 + 4 * 3 + 3 + 3 + 4 * 4
    wrong = {(row, cell) for row, cell, gap, _ in findings if gap > 0.005 + 1e-9}
    marked = {(row, cell) for row, cell, _, is_marked in findings if is_marked}
    assert wrong <= marked
    # A mark that nothing needs would hide a later mistake of ours; Rand's "All" and allAcc are wrong by other evidence.
    assert marked - wrong == {("daytime-ours", "delta All")}


def test_deltas_that_only_rounding_explains(e2sam: Paper) -> None:
    gaps = {(row, cell): gap for row, cell, gap, _ in wrong_by(e2sam)}
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
    cells = ("CSI", "mIoU", "allAcc")
    rows = [row for row in e2sam.rows if row.values.keys() >= set(cells)]
    assert len(rows) == 8
    gaps = {row.id: abs(row.values["mIoU"] - implied(row.values["CSI"], row.values["allAcc"])) for row in rows}
    marked = {row.id for row in rows if any(flag_of(row, cell) for cell in cells)}
    broken = {row for row, gap in gaps.items() if gap > IDENTITY_SLACK}
    assert broken == marked == {"h8-rand16", "h8-sam3-512"}


def test_marked_cells_name_the_value_that_fits(e2sam: Paper) -> None:
    rand, small = e2sam.row("h8-rand16"), e2sam.row("h8-sam3-512")
    overall, miou = flag_of(rand, "allAcc"), flag_of(small, "mIoU")
    assert overall is not None
    assert overall.likely is not None
    assert implied(rand.values["CSI"], overall.likely) == pytest.approx(rand.values["mIoU"], abs=0.02)
    for other in ("h8-resam", "h8-repe", "h8-ours"):
        row = e2sam.row(other)
        assert row.values["allAcc"] - row.deltas["allAcc"] == pytest.approx(overall.likely, abs=0.015)
    assert miou is not None
    assert implied(small.values["CSI"], small.values["allAcc"]) == pytest.approx(miou.likely, abs=0.005)


def test_the_pooled_score_is_the_mean_of_its_parts_or_marked(e2sam: Paper) -> None:
    for row in e2sam.rows:
        if row.table == 2:
            gap = abs(weighted_mean(row) - row.values["All"])
            assert (gap < 0.5) == (flag_of(row, "All") is None), row.id
    assert weighted_mean(e2sam.row("daytime-rand")) == pytest.approx(66.43, abs=0.005)


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
