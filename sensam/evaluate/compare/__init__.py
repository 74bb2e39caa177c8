"""Which way of adapting SAM works best on a data set: methods x seeds x label shares at an equal budget."""
