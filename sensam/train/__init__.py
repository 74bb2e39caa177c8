"""One training loop for every method: stages, many processes, checkpoints that survive a kill."""
