"""A chain as one Python expression."""

from __future__ import annotations

from dataclasses import replace

from famulus.jupyter_kernel.compose.chain import Chain


def write(chain: Chain) -> str | None:
    """The code of a chain: one expression; None where the chain does nothing or makes no sense."""
    source = chain.source
    if source.holds == "counted":
        return source.code
    if source.holds == "pair":
        return _pairs(chain)
    if source.holds == "whole":
        return _whole(chain)
    item, inner = source.item, chain.each or source.item
    guard = f" if {' and '.join(chain.conditions)}" if chain.conditions else ""
    changed = bool(guard or chain.each)
    if chain.container == "dict":
        return f"{{{item}: {inner} for {item} in {source.code}{guard}}}" if chain.each else None
    stream = f"{inner} for {item} in {source.code}{guard}"
    listed = f"[{stream}]" if changed else source.code
    if chain.totals:
        each = [
            _totalled(
                replace(chain, total=total),
                f"({stream})" if changed else source.code,
                stream if changed else source.code,
            )
            for total in chain.totals
        ]
        return ", ".join(code for code in each if code)
    if chain.total:
        return _totalled(chain, f"({stream})" if changed else source.code, stream if changed else source.code)
    if chain.container == "unique":
        listed = f"list(dict.fromkeys({listed}))"
    if chain.order:
        listed = _sorted(chain, listed)
    if chain.value:
        return f"sorted(set({listed if not chain.order else source.code if not changed else f'[{stream}]'}), reverse={chain.descending})[{int(chain.value) - 1}]"
    if chain.limit:
        listed += f"[-{chain.limit}:]" if chain.tail else f"[:{chain.limit}]"
    if chain.join is not None:
        items = listed if source.holds == "text" else f"map(str, {listed})"
        return f"{chain.join!r}.join({items})"
    if chain.container in ("set", "tuple"):
        listed = f"{chain.container}({listed})"
    if listed.startswith(("range(", "itertools.")):
        return f"list({listed})"
    return listed if listed != source.code else None


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


def _totalled(chain: Chain, stream: str, bare: str) -> str | None:
    holds = chain.source.holds
    total = chain.total
    if total in ("longest", "shortest"):
        return f"{'max' if total == 'longest' else 'min'}({bare}, key=len)"
    if total == "count":
        return (
            f"len({chain.source.code})"
            if bare == chain.source.code
            else f"sum(1 for {chain.source.item} in {chain.source.code}{' if ' + ' and '.join(chain.conditions) if chain.conditions else ''})"
        )
    if total in ("max", "min"):
        if holds == "text":
            return None
        return f"{total}({bare})"
    if total == "common":
        return f"Counter({bare}).most_common({chain.limit})"
    if total == "cumulative":
        return f"list(itertools.accumulate({bare}))" if holds != "text" else None
    if total == "product":
        return f"math.prod({bare})"
    if total == "std":
        return f"statistics.stdev({bare})"
    if total == "mode":
        return f"statistics.mode({bare})"
    if total == "sum" and holds == "text" and "len(" not in bare:
        return None
    return f"sum({bare})" if total == "sum" else f"statistics.{total}({bare})"


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
