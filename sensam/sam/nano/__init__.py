"""The built-in small teacher: a SAM of 3.0 million parameters that learnt on generated scenes only."""
