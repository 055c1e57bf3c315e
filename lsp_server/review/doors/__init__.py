"""The review in an editor: a process beside the language server, its findings as diagnostics, fixes and lenses."""
