"""Surprise: code that the model finds far less likely than a small, valid change of it."""
