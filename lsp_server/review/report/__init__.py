"""The ways in which a review is put out: one file for each."""
