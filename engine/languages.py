"""What prompts and endings need to know about programming languages (LSP language identifiers)."""

from __future__ import annotations

from collections.abc import Mapping

C_LIKE = frozenset(
    (
        "c", "cpp", "objective-c", "java", "javascript", "javascriptreact", "typescript", "typescriptreact",
        "go", "rust", "csharp", "kotlin", "swift", "scala", "php", "dart", "css", "scss", "less", "zig",
        "cuda", "jsonc", "groovy",
    )
)  # fmt: skip
"""Languages with ``//`` and ``/* */`` comments (style sheets have only the second)."""

SENTENCE_LANGUAGES = frozenset(
    (
        "markdown", "mdx", "quarto", "plaintext", "text", "txt", "restructuredtext", "rst", "asciidoc", "org",
        "latex", "tex", "bibtex", "html", "xml", "svg", "git-commit", "gitcommit", "jinja", "sql", "gherkin",
        "cucumber", "cobol", "vb", "pascal", "ada", "haskell", "elm", "ocaml", "fsharp", "purescript",
    )
)  # fmt: skip
"""Languages whose own lines can look like sentences; elsewhere a sentence is the model explaining itself."""

_SIGNS: Mapping[str, str] = {
    **dict.fromkeys((*C_LIKE, "fsharp"), "// "),
    **dict.fromkeys(("sql", "lua", "haskell", "elm", "ada", "vhdl", "applescript", "purescript"), "-- "),
    **dict.fromkeys(("clojure", "lisp", "scheme", "racket", "elisp", "emacs-lisp", "asm", "ini"), "; "),
    **dict.fromkeys(("latex", "tex", "bibtex", "matlab", "erlang", "prolog", "octave"), "% "),
    "vim": '" ',
    "vb": "' ",
}
_EXTENSIONS: Mapping[str, str] = {
    "py": "python", "pyi": "python", "ipynb": "python", "js": "javascript", "mjs": "javascript",
    "jsx": "javascriptreact", "ts": "typescript", "tsx": "typescriptreact", "rs": "rust", "go": "go",
    "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "hpp": "cpp", "java": "java", "kt": "kotlin",
    "swift": "swift", "cs": "csharp", "scala": "scala", "php": "php", "rb": "ruby", "lua": "lua",
    "sql": "sql", "hs": "haskell", "sh": "shellscript", "md": "markdown", "rst": "rst", "txt": "text",
    "tex": "latex", "html": "html", "css": "css", "scss": "scss", "r": "r", "jl": "julia", "ml": "ocaml",
    "vim": "vim", "dart": "dart",
}  # fmt: skip


def comment_sign(language: str) -> str:
    """What starts a comment line, with the blank after it; ``"# "`` for languages that are not known."""
    return _SIGNS.get(language, "# ")


def language_of(path: str) -> str:
    """The language that a file's extension tells, or ""."""
    return _EXTENSIONS.get(path.rpartition(".")[2].lower(), "")
