"""The commands are tested with the engine of the tests of completion, whose every word the test says, too."""

from tests.lsp_server.completion.conftest import at_desk

__all__ = ["at_desk"]
