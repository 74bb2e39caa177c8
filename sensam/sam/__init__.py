"""Segment Anything, once: encoder, prompts, masks, weights."""
