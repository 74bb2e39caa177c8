"""Parts that know neither SAM nor data: stems, adapters, heads, losses, and the surgery that fits them in."""
