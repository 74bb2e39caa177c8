"""What four papers say: their printed results with the misprints marked, and each claim as something to check."""

from sensam.evaluate.claims.ledger import PAPERS, Claim, Contrast, Paper, Row, load_paper, load_papers

__all__ = ["PAPERS", "Claim", "Contrast", "Paper", "Row", "load_paper", "load_papers"]
