"""The built-in small teacher: a SAM of 2.9 million parameters that learnt on generated scenes only."""
