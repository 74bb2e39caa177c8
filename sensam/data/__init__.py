"""From any file to a batch."""
