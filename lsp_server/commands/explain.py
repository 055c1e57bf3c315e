"""Explaining code: first what analysis knows, then the model's words, without those that name what is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from famulus.engine.protocol import Chat
from famulus.lsp_server.commands.asking import ask, indented, talk
from famulus.lsp_server.documents import Snapshot
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.syntax.python import module_of

MOST = 6000
"""Code points of a selection that are sent."""
ANSWER_TOKENS = 160
SENTENCES = 4
"""Shown at the most: what a small model adds after them is seldom about the code."""
SYSTEM = (
    "You explain code to an experienced developer in at most four short sentences: what it does, what it returns, "
    "what can go wrong. Plain text, no code, no headings."
)

_CODE_NAME = re.compile(r"`([^`\n]+)`|\b([A-Za-z]+_\w+|[a-z]+[A-Z]\w*|[A-Za-z_]\w*(?=\(\)))")
_WORD = re.compile(r"[A-Za-z_]\w*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Checked:
    """Sentences that name only what exists, and how many were left out."""

    kept: list[str]
    left_out: int


def question(code: str, language: str) -> Chat:
    """What the model is asked."""
    return talk(SYSTEM, f"Explain this {language or 'code'}:\n```{language}\n{code[:MOST]}\n```")


async def explain(
    link: EngineLink, seen: Snapshot, start: int, end: int, report: Callable[[str], None] | None = None
) -> str:
    """Markdown about ``[start, end)`` of a document. Raises the engine's typed errors."""
    text = seen.text.value
    code = text[start:end].strip("\r\n")
    first, last = seen.text.place(start)[0] + 1, seen.text.place(max(start, end - 1))[0] + 1
    parts = [f"**Lines {first}–{last}**" if last > first else f"**Line {first}**"]
    known = facts(code) if seen.language == "python" else []
    parts += [f"- {fact}" for fact in known]
    answers = await ask(link, question(code, seen.language), max_tokens=ANSWER_TOKENS, report=report)
    checked = sentences_about(answers[0].text, text)
    if checked.kept:
        parts += ["", " ".join(checked.kept)]
        note = f"The model {link.model.get('id', '')} wrote the sentences above".replace("  ", " ")
        note += "; it can be wrong."
    else:
        note = "The model's explanation named things that are not in this file, so it is not shown."
    if checked.kept and checked.left_out:
        note += f" {checked.left_out} more named things that are not in this file and were left out."
    return "\n".join([*parts, "", f"*{note}*"])


def facts(code: str) -> list[str]:
    """What the syntax tree of a piece of Python says: definitions, calls, what is raised and returned."""
    try:
        tree = module_of(indented(code, ""))
    except SyntaxError:
        return []
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kind = "async function" if isinstance(node, ast.AsyncFunctionDef) else "function"
            found.append(f"{kind} `{node.name}({ast.unparse(node.args)})`")
        elif isinstance(node, ast.ClassDef):
            bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
            found.append(f"class `{node.name}{bases}`")
    for title, names in (
        ("calls", (ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call))),
        ("raises", (_raised(n) for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc is not None)),
        (
            "returns",
            (ast.unparse(n.value) for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value is not None),
        ),
        ("changes", _changed(tree)),
    ):
        distinct = [name for name in dict.fromkeys(names) if len(name) <= 60 and "\n" not in name]
        if distinct:
            more = f" and {len(distinct) - 6} more" if len(distinct) > 6 else ""
            found.append(f"{title} {', '.join(f'`{name}`' for name in distinct[:6])}{more}")
    return found


def sentences_about(answer: str, source: str) -> Checked:
    """The sentences of ``answer`` whose code names occur in ``source``; repeated ones once."""
    words = set(_WORD.findall(source))
    kept: dict[str, None] = {}
    left_out = 0
    plain = re.sub(r"```.*?(```|\Z)", " ", answer, flags=re.DOTALL)
    for sentence in _SENTENCE.split(" ".join(plain.split())):
        sentence = sentence.strip()
        if not sentence or sentence in kept:
            continue
        named = [word for match in _CODE_NAME.finditer(sentence) for word in _WORD.findall(match.group())]
        if any(word not in words for word in named):
            left_out += 1
        elif sentence.endswith(".") and len(kept) < SENTENCES:
            kept[sentence] = None
    return Checked(list(kept), left_out)


def _raised(node: ast.Raise) -> str:
    assert node.exc is not None
    return ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)


def _changed(tree: ast.Module) -> list[str]:
    """Attributes and items that are assigned to: what outlives the code."""
    targets = [
        target
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return [ast.unparse(target) for target in targets if isinstance(target, ast.Attribute | ast.Subscript)]
