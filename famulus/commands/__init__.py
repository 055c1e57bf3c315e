"""The commands, one file for each group. Each imports what it needs when it runs."""
