"""The language server: completion, errors seen before they run, commands. Never imports torch."""
