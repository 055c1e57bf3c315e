"""One file, one architecture family."""
