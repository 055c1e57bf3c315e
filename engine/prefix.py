"""The prefix tree: which token sequences have computed pages, and where they part.

One node is one page; one root per salt, so that workspaces never see each other's prefixes. The tree knows
pages only as numbers and nothing of who holds them: that is the cache's business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Node:
    """One page in the tree. ``key``: the tokens of its rows; fewer than a page of them only at a leaf.

    No key is a proper prefix of a sibling's: what a longer page says, a shorter one need not repeat.
    """

    key: tuple[int, ...]
    page: int
    parent: Node | None = field(repr=False)
    salt: str
    last_used: int = 0
    children: dict[tuple[int, ...], Node] = field(default_factory=dict, repr=False)
    order: list[tuple[int, ...]] = field(default_factory=list, repr=False)  # the children's keys, sorted

    @property
    def is_root(self) -> bool:
        """Roots stand for the empty prefix and have no page."""
        return self.page < 0

    def nearest(self, tokens: tuple[int, ...]) -> tuple[Node | None, int]:
        """The child that shares most leading tokens with ``tokens``, and how many.

        In sorted order the longest common prefix is always shared with a neighbour, so two are looked at.
        """
        at = bisect_left(self.order, tokens)
        best, rows = None, 0
        for key in self.order[max(0, at - 1) : at + 1]:
            common = _common(key, tokens)
            if common > rows:
                best, rows = self.children[key], common
        return best, rows


class PrefixTree:
    """The trees of all salts, in pages of ``page_size`` tokens. ``node_of[page]``: its node, if any."""

    def __init__(self, pages: int, page_size: int) -> None:
        self.page_size = page_size
        self.node_of: list[Node | None] = [None] * pages
        self._roots: dict[str, Node] = {}

    def root(self, salt: str) -> Node:
        """The root of ``salt``; it lasts once something is attached to it."""
        return self._roots.get(salt) or Node((), -1, None, salt)

    def match(self, tokens: Sequence[int], limit: int, salt: str) -> list[Node]:
        """The nodes of the longest chain of whole pages that holds at most the first ``limit`` tokens."""
        size, node, path = self.page_size, self.root(salt), list[Node]()
        for at in range(0, limit - size + 1, size):
            child = node.children.get(tuple(tokens[at : at + size]))
            if child is None:
                break
            path.append(child)
            node = child
        return path

    def attach(self, parent: Node, key: tuple[int, ...], page: int) -> tuple[Node, Node | None]:
        """Put ``page`` under ``parent``; the new node, and the partial leaf that it made superfluous."""
        assert self.node_of[page] is None and key not in parent.children, "one page, one node"
        if parent.is_root:
            self._roots[parent.salt] = parent
        at = bisect_left(parent.order, key)
        node = Node(key, page, parent, parent.salt)
        parent.children[key] = node
        parent.order.insert(at, key)
        self.node_of[page] = node
        before = parent.order[at - 1] if at else key
        shorter = parent.children[before] if at and key[: len(before)] == before else None
        if shorter is not None:
            self.detach(shorter)
        return node, shorter

    def detach(self, node: Node) -> Node:
        """Take a leaf out of the tree; its former parent."""
        parent = node.parent
        assert parent is not None and not node.children, "only leaves leave the tree"
        del parent.children[node.key]
        del parent.order[bisect_left(parent.order, node.key)]
        self.node_of[node.page] = None
        if parent.is_root and not parent.children:
            del self._roots[parent.salt]
        return parent

    def nodes(self) -> Iterator[tuple[str, tuple[int, ...], Node]]:
        """Every node with its salt and all tokens from the start to its last row."""
        stack: list[tuple[tuple[int, ...], Node]] = [((), root) for root in self._roots.values()]
        while stack:
            before, node = stack.pop()
            for child in node.children.values():
                yield child.salt, before + child.key, child
                stack.append((before + child.key, child))

    def check(self) -> None:
        """Assert the tree's own invariants; O(nodes), for tests."""
        seen = 0
        for _, _, node in self.nodes():
            seen += 1
            assert self.node_of[node.page] is node, "one page, one node"
            assert node.order == sorted(node.children)
            assert not node.children or len(node.key) == self.page_size, "only leaves are partial"
            assert all(b[: len(a)] != a for a, b in zip(node.order, node.order[1:], strict=False))
        assert seen == sum(node is not None for node in self.node_of)
        assert all(root.children for root in self._roots.values()), "an empty root was kept"


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    for at, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return at
    return min(len(a), len(b))
