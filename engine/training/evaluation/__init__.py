"""How good a model is at what Famulus asks of it: fixed held-out items, asked through the engine itself."""
