"""What values a parameter takes: from its annotation, its default, its name, and what the code does with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Sequence

from famulus.lsp_server.execution import apt
from famulus.lsp_server.execution import values as v
from famulus.lsp_server.execution.functions import Function, Parameter
from famulus.lsp_server.execution.nodes import nodes_of
from famulus.lsp_server.execution.signs import last_name, parts, signs
from famulus.lsp_server.execution.values import Values, Vocabulary

_SEQUENCES = (
    "list",
    "List",
    "Sequence",
    "MutableSequence",
    "Collection",
    "Iterable",
    "Container",
    "Reversible",
    "deque",
    "Deque",
)
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict", "Counter")
_SETS = ("set", "Set", "AbstractSet", "MutableSet", "frozenset", "FrozenSet")
_FACTORIES = ("int", "float", "str", "bool", "list", "dict", "set")
_WRAPPERS = ("Annotated", "Final", "ClassVar", "Required", "NotRequired", "Optional", "ReadOnly", "Awaitable")
_NAMES = {
    "int": "n i j m num count size length width height depth index idx start stop end step level offset limit port year"
    " month day hour minute seed base digits precision indent lo hi low high pos position"
    " _count _size _index _len _length _width n_ num_ max_ min_",
    "number": "x y z rate ratio factor alpha beta weight price amount total score seconds timeout _rate _ratio",
    "str": "s text string str name line word path filename file_name url uri key prefix suffix sep char c ch msg"
    " message title label pattern fmt format encoding mode source src code query host token tag"
    " _name _path _str _text _url _key",
    "list": "xs ys items values nums numbers seq sequence arr array lst list iterable elements data args rows lines"
    " words names keys nodes edges parts tokens points _list _items _values",
    "dict": "d dct dict mapping map options opts config settings params kwargs attrs headers env _dict _map",
    "bool": "is has should use allow with no ignore include strict force verbose reverse quiet debug recursive"
    " is_ has_ should_ use_ allow_ with_ no_ ignore_ include_",
    "callable": "f fn func function callback predicate pred cmp factory _func _fn _callback",
    "stream": "fp file stream fileobj fobj",
    "bytes": "b buf buffer bytes raw payload blob",
    "datetime": "dt datetime date when moment now _date _time _dt",
}
"""Names by which programmers call things of a type; with a ``_`` at an end, the beginnings and ends of such names."""
Class = Callable[[str], Values | None]
"""Values of a class of the project, by the name under which the module knows it."""


class Shapes:
    """Values for the parameters of one function. ``classes``: makes objects of the project's classes, and knows the
    classes themselves as ``type[name]``; ``having``: makes objects that have all of some attributes."""

    def __init__(
        self,
        function: Function,
        words: Vocabulary,
        classes: Class,
        having: Callable[[Collection[str]], Values | None] = lambda names: None,
    ) -> None:
        self.function, self.words, self.classes, self.having = function, words, classes, having
        self.known = v.standard(words)
        self.known["number"] = v.either(self.known["int"], v.floats(words))
        whole, text = self.known["int"], self.known["str"]
        self._anything = v.either(whole, text, v.lists(whole), v.mappings(text, v.either(whole, text)))

    def options(self, parameter: Parameter) -> list[Values]:
        """Types that ``parameter`` may have, likeliest first. An annotation that is understood leaves no other."""
        found: list[Values] = []
        if parameter.annotation is not None:
            annotated = self.annotated(parameter.annotation)
            if annotated is not None:
                found.append(annotated)
        if not found:
            found += self._used(self.function.node, parameter.name)
            found += self._default(parameter)
            found += self._named(parameter.name)
            found += [self.known["str"], self.known["int"], v.lists(self.known["int"]), v.lists(self.known["str"])]
            found += [
                v.mappings(self.known["str"], self.known["int"]),
                self.known["number"],
                v.constant("None", "None"),
            ]
        first: dict[str, Values] = {}
        for option in found:
            first.setdefault(option.kind, self._apt(option, parameter.name))
        return list(first.values())

    def _apt(self, option: Values, name: str) -> Values:
        """The same with values that fit what the parameter is for."""
        known = apt.values(self.function.node, name, option.kind)
        if not known:
            return option
        edges = (*known[:2], *option.edges[:2], *known[2:], *option.edges[2:])
        own = tuple(known)
        return Values(option.kind, edges, lambda dice: dice.choice(own) if dice.random() < 0.4 else option.draw(dice))

    def nothing_known(self, parameter: Parameter) -> bool:
        """Whether neither annotation nor default nor use tells what a parameter is."""
        told = parameter.annotation is not None or parameter.default is not None
        return not told and not self._used(self.function.node, parameter.name)

    def keywords(self, parameter: Parameter) -> dict[str, Values]:
        """What the code looks for in its ``**kwargs``."""
        names: dict[str, Values] = {}
        for node in nodes_of(self.function.node):
            match node:
                case (
                    ast.Call(
                        func=ast.Attribute(value=ast.Name(id=holder), attr="get" | "pop" | "setdefault"),
                        args=[ast.Constant(value=str(key)), *_],
                    )
                    | ast.Subscript(value=ast.Name(id=holder), slice=ast.Constant(value=str(key)))
                    | ast.Compare(left=ast.Constant(value=str(key)), comparators=[ast.Name(id=holder)])
                ) if holder == parameter.name and key.isidentifier():
                    names[key] = v.either(v.booleans(), *self._named(key), self._anything)
        return names

    # --- annotations ------------------------------------------------------------------------------------------------

    def annotated(self, node: ast.expr, depth: int = 0) -> Values | None:
        """Values of an annotation; None if it is not understood, or says nothing (``Any``, ``object``)."""
        if depth > 4:
            return None
        if isinstance(node, ast.Constant):
            if node.value is None:
                return self.known["None"]
            return self._quoted(node.value, depth) if isinstance(node.value, str) else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right], depth)
        if isinstance(node, ast.Subscript):
            return self._generic(last_name(node.value), parts(node.slice), depth)
        name = last_name(node)
        if name in self.known:
            return self.known[name]
        if name in (*_SEQUENCES, *_MAPPINGS, *_SETS, "tuple", "Tuple", "Iterator", "Generator"):
            return self._generic(name, [], depth)
        return self.classes(name) if name not in ("Any", "object", "Self") else None

    def _quoted(self, text: str, depth: int) -> Values | None:
        try:
            return self.annotated(ast.parse(text, mode="eval").body, depth + 1)
        except (SyntaxError, ValueError):
            return None

    def _union(self, nodes: Sequence[ast.expr], depth: int) -> Values | None:
        options = [option for option in (self.annotated(node, depth + 1) for node in nodes) if option]
        return v.either(*options) if options else None

    def _generic(self, name: str, parts: Sequence[ast.expr], depth: int) -> Values | None:
        inner = [self.annotated(part, depth + 1) or self._anything for part in parts]
        anything = self._anything
        if name == "Literal":
            return v.constant("literal", *(ast.unparse(part) for part in parts))
        if name == "Optional" and parts:
            return v.either(inner[0], self.known["None"])
        if name == "Union":
            return self._union(parts, depth)
        if name in _WRAPPERS and inner:
            return inner[0]
        if name == "Callable":
            return v.functions()
        if name in ("Type", "type"):
            own = self.classes(f"type[{last_name(parts[0])}]") if parts else None
            return own or v.constant("type", "int", "str", "list")
        if name in _SEQUENCES:
            many = v.lists(inner[0] if inner else anything)
            return v.made_by("deque", many) if name in ("deque", "Deque") else many
        if name in _MAPPINGS:
            one = inner[1] if len(inner) > 1 else self.known["int"] if name == "Counter" else anything
            pairs = v.mappings(inner[0] if inner else self.known["str"], one)
            factory = ast.unparse(parts[1]).partition("[")[0] if name == "defaultdict" and len(parts) > 1 else ""
            if factory in _FACTORIES:
                return v.made_by(f"defaultdict({factory})", pairs)
            return v.made_by(name, pairs) if name in ("OrderedDict", "Counter") else pairs
        if name in _SETS:
            some = v.sets(inner[0] if inner else anything)
            return v.made_by("frozenset", some) if name in ("frozenset", "FrozenSet") else some
        if name in ("Iterator", "Generator"):
            return v.iterators(inner[0] if inner else anything)
        if name in ("tuple", "Tuple"):
            if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is Ellipsis:
                return v.tuples(inner[0])
            return v.pairs(*inner) if inner else v.tuples(anything)
        return self.known.get(name) or self.classes(name)

    # --- other signs ------------------------------------------------------------------------------------------------

    def _default(self, parameter: Parameter) -> list[Values]:
        node = parameter.default
        if node is None:
            return []
        text = ast.unparse(node)
        if isinstance(node, ast.Constant) and node.value is not None:
            known = self.known.get(type(node.value).__name__)
            return [known] if known else []
        kinds = {ast.List: "list", ast.Dict: "dict", ast.Tuple: "list", ast.Set: "list"}
        kind = kinds.get(type(node))
        return [v.constant("default", text), *(self._of(kind) if kind else [])]

    def _named(self, name: str) -> list[Values]:
        plain = name.lower().strip("_")
        for kind, words in _NAMES.items():
            if plain in words.split():
                return self._of(kind)
        for kind, words in _NAMES.items():
            ends = [word for word in words.split() if word.startswith("_") or word.endswith("_")]
            if any(plain.endswith(word) if word.startswith("_") else plain.startswith(word) for word in ends):
                return self._of(kind)
        return self._of("list") if name.endswith("s") and len(name) > 3 else []

    def _of(self, kind: str) -> list[Values]:
        known = self.known
        match kind:
            case "list":
                return [v.lists(known["int"]), v.lists(known["str"])]
            case "dict":
                return [v.mappings(known["str"], v.either(known["int"], known["str"]))]
            case "set":
                return [v.sets(known["int"])]
            case "callable":
                return [known["Callable"]]
            case "stream":
                return [known["TextIO"]]
        return [known[kind]]

    def _used(self, node: ast.AST, name: str, depth: int = 0) -> list[Values]:
        """Types that fit what the code does with the variable ``name``, most frequent first."""
        votes: dict[str, int] = {}
        attributes: dict[str, None] = {}
        keys: list[str] = []
        inner: list[Values] = []
        for kind, detail in signs(node, name):
            if kind == "attribute":
                attributes[detail] = None
            elif kind == "key":
                keys.append(detail)
            elif kind == "each" and depth < 2:
                inner += self._used(node, detail, depth + 1)
                votes["list"] = votes.get("list", 0) + 2
            elif kind == "class":
                votes[detail] = votes.get(detail, 0) + 3
            else:
                votes[kind] = votes.get(kind, 0) + 1
        if node is self.function.node and (said := _documented(self.function.docstring, name)):
            votes[said] = votes.get(said, 0) + 3
        if apt.is_text(node, name):
            votes["str"] = votes.get("str", 0) + 2
        if "list" in votes and ("str" in votes or _is_text(name)):
            votes["str"] = votes.get("str", 0) + votes["list"]  # texts have items and slices too
        found: list[Values] = []
        for kind in sorted(votes, key=lambda kind: -votes[kind]):
            if kind == "list" and inner:
                found.append(v.lists(inner[0]))
            elif kind == "dict" and keys:
                continue
            elif kind in self.known or kind in ("list", "dict", "set", "callable", "stream"):
                found += self._of(kind)
            else:
                made = self.classes(kind)
                found += [made] if made else []
        if keys:
            anything = v.either(self.known["str"], self.known["int"])
            found.insert(0, v.mappings(self.known["str"], anything, list(dict.fromkeys(keys))))
        if attributes and not found:
            anything = v.either(self.known["int"], self.known["str"])
            own = self.classes("".join(part.title() for part in name.split("_"))) or self.having(attributes)
            found += [own] if own else []
            found.append(v.objects([(attribute, anything) for attribute in list(attributes)[:8]]))
        return found


def _is_text(name: str) -> bool:
    """Whether a variable has a name by which programmers call texts."""
    return name.lower().strip("_") in _NAMES["str"].split()


def _documented(docstring: str, name: str) -> str:
    """The type by which a docstring calls a parameter: ``list a``, ``the string *text*``."""
    match = re.search(rf"\b(list|string|dict|set|dictionary)\s+[`*'\"]*{re.escape(name)}\b", docstring)
    return {"string": "str", "dictionary": "dict"}.get(match[1], match[1]) if match else ""
