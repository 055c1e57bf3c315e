"""The rules of the review, one module each."""
