"""Ghost text: whether something is wanted, what, and whether it may be shown."""
