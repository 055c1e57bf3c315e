"""What the text of a document means: incremental trees, their errors, places and names."""

from famulus.lsp_server.syntax.tree import Function, Place, Problem, Span, Tree, parse
from famulus.lsp_server.syntax.trees import Trees

__all__ = ["Function", "Place", "Problem", "Span", "Tree", "Trees", "parse"]
