"""A chain as one Python expression."""

from __future__ import annotations

from dataclasses import replace

from famulus.jupyter_kernel.compose.chain import Chain


def write(chain: Chain) -> str | None:
    """The code of a chain: one expression; None where the chain does nothing or makes no sense."""
    source = chain.source
    if source.holds == "counted":
        return source.code
    if source.holds == "array":
        return _array(chain)
    if source.holds == "pair":
        return _pairs(chain)
    if source.holds == "whole":
        return _whole(chain)
    stream, changed = _stream(chain)
    if chain.container == "dict":
        return f"{{{source.item}: {stream}}}" if chain.each else None
    bare = stream if changed else source.code
    if chain.totals:
        each = [_totalled(replace(chain, total=total), bare) for total in chain.totals]
        return ", ".join(code for code in each if code)
    if chain.total:
        return _totalled(chain, bare)
    listed = f"[{stream}]" if changed else source.code
    if chain.value:
        return f"heapq.{'nlargest' if chain.descending else 'nsmallest'}({chain.value}, set({listed}))[-1]"
    shaped = _shaped(chain, listed)
    if shaped.startswith(("range(", "itertools.")):
        return f"list({shaped})"
    return shaped if shaped != source.code else None


_ARRAY_TOTALS = {"sum": "{}.sum()", "mean": "{}.mean()", "median": "np.median({})", "max": "{}.max()",
                 "min": "{}.min()", "std": "{}.std()", "product": "{}.prod()", "cumulative": "{}.cumsum()"}  # fmt: skip


def _array(chain: Chain) -> str | None:
    """Chains over an array of numpy, without loops."""
    name, each = chain.source.code, (chain.each or chain.source.code).replace("math.", "np.")
    if any("all(" in condition for condition in chain.conditions):
        return None
    parts = [f"({condition.removeprefix('not ')})" for condition in chain.conditions]
    signs = ["~" if condition.startswith("not ") else "" for condition in chain.conditions]
    mask = " & ".join(sign + part for sign, part in zip(signs, parts, strict=True))
    mask = mask[1:-1] if len(parts) == 1 and not signs[0] else mask
    code = (f"({each})[{mask}]" if chain.each else f"{name}[{mask}]") if mask else each
    inner = f"({code})" if " " in code and not code.endswith((")", "]")) else code
    if chain.total == "count":
        return f"int(({mask}).sum())" if mask else f"{name}.size"
    if chain.total:
        return _ARRAY_TOTALS[chain.total].format(inner) if chain.total in _ARRAY_TOTALS else None
    if chain.totals:
        return ", ".join(_ARRAY_TOTALS[t].format(inner) for t in chain.totals if t in _ARRAY_TOTALS)
    if chain.container == "unique":
        code = f"np.unique({code})"
    if chain.order == "reverse":
        code = f"{inner}[::-1]"
    elif chain.order:
        code = f"np.sort({code}){'[::-1]' if chain.descending else ''}"
    if chain.value:
        return f"np.unique({name})[{'-' if chain.descending else ''}{chain.value}{'' if chain.descending else ' - 1'}]"
    if chain.limit:
        code += f"[-{chain.limit}:]" if chain.tail else f"[:{chain.limit}]"
    if chain.container == "list":
        code = f"{inner}.tolist()"
    return code if code != name else None


def _stream(chain: Chain) -> tuple[str, bool]:
    """The inside of a comprehension, and whether it does anything."""
    guard = f" if {' and '.join(chain.conditions)}" if chain.conditions else ""
    inner = chain.each or chain.source.item
    return f"{inner} for {chain.source.item} in {chain.source.code}{guard}", bool(guard or chain.each)


def _shaped(chain: Chain, listed: str) -> str:
    """A list in the order, length and container asked for."""
    if chain.container == "unique":
        listed = f"list(dict.fromkeys({listed}))"
    if chain.order:
        listed = _sorted(chain, listed)
    if chain.limit:
        listed += f"[-{chain.limit}:]" if chain.tail else f"[:{chain.limit}]"
    if chain.join is not None:
        items = listed if chain.source.holds == "text" else f"map(str, {listed})"
        return f"{chain.join!r}.join({items})"
    return f"{chain.container}({listed})" if chain.container in ("set", "tuple") else listed


def _sorted(chain: Chain, listed: str) -> str:
    if chain.order in ("last letter", "first letter"):
        place = "-1" if chain.order == "last letter" else "0"
        return f"sorted({listed}, key=lambda word: word[{place}]{', reverse=True' if chain.descending else ''})"
    if chain.order == "reverse":
        return f"list({listed})[::-1]"
    if chain.order == "length, then itself":
        return f"sorted({listed}, key=lambda word: (len(word), word))"
    key = ", key=len" if chain.order == "length" else ""
    return f"sorted({listed}{key}{', reverse=True' if chain.descending else ''})"


_TOTALS = {
    "sum": "sum({})", "max": "max({})", "min": "min({})", "product": "math.prod({})", "std": "statistics.stdev({})",
    "mode": "statistics.mode({})", "longest": "max({}, key=len)", "shortest": "min({}, key=len)",
    "cumulative": "list(itertools.accumulate({}))", "mean": "statistics.mean({})", "median": "statistics.median({})",
}  # fmt: skip


def _totalled(chain: Chain, bare: str) -> str | None:
    """One value of all items; ``bare`` is the inside of a comprehension or the source itself."""
    source, total = chain.source, chain.total
    if total == "common":
        return f"Counter({bare}).most_common({chain.limit})"
    if total == "count":
        guard = f" if {' and '.join(chain.conditions)}" if chain.conditions else ""
        return f"sum(1 for {source.item} in {source.code}{guard})" if guard else f"len({source.code})"
    if source.holds == "text" and "len(" not in bare and total not in ("longest", "shortest", "mode"):
        return None
    return _TOTALS[total].format(bare)


def _pairs(chain: Chain) -> str | None:
    """Chains over a dictionary: conditions speak of values, results are keys or pairs."""
    name = chain.source.variable
    guard = f" if {' and '.join(chain.conditions)}" if chain.conditions else ""
    if chain.total in ("max", "min"):
        return f"{chain.total}({name}{f', key={name}.get' if chain.container == 'key' else '.values()'})"
    if chain.total == "count":
        return f"sum(1 for key, value in {name}.items(){guard})" if guard else f"len({name})"
    if chain.total in ("sum", "mean", "median"):
        values = f"value for key, value in {name}.items(){guard}" if guard else f"{name}.values()"
        return f"sum({values})" if chain.total == "sum" else f"statistics.{chain.total}({values})"
    if chain.order or chain.limit:
        by = "pair[0]" if chain.order in ("key", "name") else "pair[1]"
        code = f"sorted({name}.items(), key=lambda pair: {by}{', reverse=True' if chain.descending else ''})"
        return f"dict({code}{f'[:{chain.limit}]' if chain.limit else ''})"
    if guard and chain.container == "list":
        return f"[key for key, value in {name}.items(){guard}]"
    if guard:
        return f"{{key: value for key, value in {name}.items(){guard}}}"
    return None


def _whole(chain: Chain) -> str | None:
    """A text as such."""
    name = chain.source.variable
    if chain.order == "reverse":
        return f"{name}[::-1]"
    if chain.each and not chain.conditions:
        return chain.each.replace(chain.source.item, name)
    if chain.total == "count":
        return f"{name}.count({chain.value})" if chain.value else f"len({name})"
    return None
