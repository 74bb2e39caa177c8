"""One self-contained page that says what a run or a comparison found: it opens offline, and prints."""
