"""GoodSAM: a compact panoramic student from SAM and a teacher assistant, without labels; one file for each block."""
