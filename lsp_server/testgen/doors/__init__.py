"""Tests in an editor: code actions that have them made by a process beside the server, and an edit to be agreed to."""

GENERATE, STRENGTHEN, WHY = "famulus.testgen", "famulus.testgen.strengthen", "famulus.testgen.why"
"""Commands that take a document: what the code actions run."""
