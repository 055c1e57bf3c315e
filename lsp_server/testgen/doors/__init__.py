"""Tests in an editor: code actions that have them made by a process beside the server, and an edit to be agreed to."""
