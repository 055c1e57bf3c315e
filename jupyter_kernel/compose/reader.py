"""Reads an instruction about a table as queries: clause after clause is recognised and set aside."""

from __future__ import annotations

import re
from dataclasses import replace

from famulus.jupyter_kernel.compose.charts import ORDERED
from famulus.jupyter_kernel.compose.conditions import conditions
from famulus.jupyter_kernel.compose.expressions import spans
from famulus.jupyter_kernel.compose.query import Aggregate, Key, Query
from famulus.jupyter_kernel.compose.ranking import AVERAGED, FUNCTION, extremes
from famulus.jupyter_kernel.compose.reading import Reading
from famulus.jupyter_kernel.compose.units import Unit, column_groups, implied
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.option import COMPARE, column_fits
from famulus.jupyter_kernel.schema import Column, Variable
from famulus.jupyter_kernel.words import lexicon, name_parts

_PARTICIPLES = frozenset(("sold", "paid", "spent", "earned", "bought", "made"))
_CHARTS = ("bar", "line", "hist", "scatter", "pie", "box")


class _Reader(Reading):
    """The clauses of a query, one after the other."""

    def read(self) -> Query:
        self.computed()
        self.chart()
        self.flags()
        self.having()
        self.query.removes = bool(re.match(r"[X·]*KR|.*KR?W", self.tags))
        self.query.conditions, self.tags = conditions(self.tags, self.units, self.subject)
        self.share()
        extremes(self)
        self.order()
        self.keys()
        self.aggregates()
        self.rest()
        self.query.used |= {
            index for unit, tag in zip(self.units, self.tags, strict=True) if tag == "·"
            for index in range(unit.start, unit.end)
        }  # fmt: skip
        return self.query

    def computed(self) -> None:
        """Arithmetic becomes a column of a copy; *where revenue is price times quantity* names it."""
        for start, end, code in spans(self.tags, self.units, self.subject):
            head = re.search(r"[W&]*(?P<n>X)(?:=|w|x)$", self.tags[:start])
            name = (head and self.units[head.start("n")].text) or "_".join(
                u.text for u in self.units[start:end] if u.column
            )
            column = Column(name.replace(" ", "_"), "number")
            self.query.computed = (column.name, code)
            unit = replace(self.units[end - 1], tag="C", column=column, start=self.units[start].start)
            first = head.start() if head and self.tags.count("X") > 1 else start
            others = {u.text for u in self.units[first:start] if u.tag == "X"} if first < start else set()
            kept = [] if others else [unit]
            self.query.used |= {i for u in self.units[first:end] for i in range(u.start, u.end)}
            self.units[first:end] = kept
            self.units = [replace(unit, start=u.start, end=u.end) if u.text in others else u for u in self.units]
            self.tags = "".join(u.tag for u in self.units)
            return

    def chart(self) -> None:
        words = [unit for unit in self.units if unit.tag == "p"]
        over = re.fullmatch(r"h?(?:[CQ]&)*(?P<c>[CQ])(?P<o>Y)(?P<t>[CU])", self.tags)
        if over and self.unit(over, "o").key == "over" and self._timed(self.unit(over, "t")):
            self.query.chart = "line"
        if words:
            kinds = [unit.key for unit in words if unit.key in _CHARTS]
            self.query.chart = kinds[0] if kinds else "plot"
            if any(unit.key == "horizontal" for unit in words):
                self.query.chart = "barh"
            if any(unit.key == "stacked" for unit in words):
                self.query.stacked, self.query.chart = True, kinds[0] if kinds else "bar"
            self.tags = self.tags.replace("p", "·")
            for match in re.finditer(r"[w&]?(?P<n>N)(?P<b>X)", self.tags):
                if self.unit(match, "b").key == "bin":
                    self.query.bins = self.unit(match, "n").code
                    self.blot(match)
                    break

    def flags(self) -> None:
        """*Shipped and unshipped orders* are compared as groups."""
        match = re.search(r"(?:i|B)?(?P<a>Q)&!=*(?P<b>Q)|!=*(?P<c>Q)&(?P<d>Q)", self.tags)
        if match and self.query.keys == []:
            first, second = (self.unit(match, g).column for g in ("ab" if match["a"] else "cd"))
            if first is not None and first == second:
                self.query.keys.append(Key(first))
                self.blot(match)

    def having(self) -> None:
        """*Countries with more than 2 orders*, *departments whose average salary is above 5000*."""
        counted = r"h?(?P<k>C)[hWw=]*[XS]?=?(?P<o>>)=?(?P<n>N)(?P<what>[FRX]?)(?P<f>#?)$"
        valued = r"h?(?P<k>C)[hWw]*(?P<a>[A#])(?P<c>C?)[F]?=?(?P<o>>)=?(?P<n>N)(?![%TC])"
        found = [match for pattern in (counted, valued) if (match := re.search(pattern, self.tags))]
        match = next((m for m in found if (c := self.unit(m, "k").column) and c.kind != "number"), None)
        if match is None:
            return
        groups = match.groupdict()
        key, number, sign = self.unit(match, "k").column, self.unit(match, "n"), self.unit(match, "o")
        if key is None or key.kind not in ("text", "category", "bool") or sign.key not in COMPARE:
            return
        if "what" in groups:
            known = lexicon().single.values()
            thing = self.unit(match, "what") if match["what"] else None
            often = number.text.lower() in ("once", "twice", "thrice")
            if not often and not match["f"] and (thing is None or (thing.tag == "X" and thing.key in known)):
                return  # "words with more than 3 letters"
            aggregate = Aggregate("count", None)
        else:
            column = self.unit(match, "c").column if groups["c"] else None
            if (column is None or column.kind != "number") and self.unit(match, "a").tag == "A":
                return
            aggregate = Aggregate(self.unit(match, "a").key, column if self.unit(match, "a").tag == "A" else None)
        self.query.keys, self.query.aggregates = [Key(key)], [aggregate]
        self.query.having = (COMPARE[sign.key], number.code)
        self.blot(match)

    def _timed(self, unit: Unit) -> bool:
        column = unit.column
        return column is None or column_fits(column, "time") >= 0.95 or ORDERED.search(column.name) is not None

    def share(self) -> None:
        while self.take(r"i?%"):
            self.query.share = True

    def order(self) -> None:
        query = self.query
        patterns = (
            r"S[FR*]*Y?(?P<cols>[CQ](?:&Y?[CQ])*)&?[ir]?(?P<dir>[Oo])?",
            r"Y(?P<cols>[CQ](?:&[CQ])*)[&w2]*(?P<dir>[Oo])?[&2]*S(?P<dir2>[Oo])?",
            r"Y?(?<![EG])(?P<cols>C)(?:&?i?)(?P<dir>O)",
            r"(?P<dir>O)[iY]?Y?(?P<cols>C)",
            r"S[FR*]*i?(?P<dir>[Oo])?",
            r"&?i?(?P<dir>[Oo])",
        )
        for pattern in patterns:
            match = re.search(pattern, self.tags)
            if not match or (pattern is patterns[1] and self._groups(match)):
                continue
            if pattern is patterns[2] and re.search(r"[EG]C(?:&E?C)*$", self.tags[: match.end("cols")]):
                continue  # "per country and city, largest first"
            groups = match.groupdict()
            word = next((self.unit(match, g) for g in ("dir", "dir2") if groups.get(g)), None)
            ascending = word is None or word.key == "ascending"
            columns: list[Column | None] = list(self.columns(match, "cols")) if groups.get("cols") else []
            if not columns:
                meant = implied(word, self.subject) if word is not None else None
                columns = [meant]
            # "by a, then by b descending" turns only b around.
            parted = groups.get("cols") and "Y" in match["cols"] and not ascending
            if word is not None and word.text in ("most first", "fewest first", "least first") and columns[0]:
                query.keys, query.aggregates, columns = [Key(columns[0])], [Aggregate("count")], [None]
            query.order = [(column, ascending or bool(parted and column is not columns[-1])) for column in columns]
            self.blot(match)
            return

    def _groups(self, match: re.Match[str]) -> bool:
        """Whether *by product sorted descending* groups by the product: something is to be added up for it."""
        sorts = match.start() + match.group().index("S")
        said = self.spoken[self.units[sorts].start].text
        asked = bool(re.search("[A#]", self.tags[: match.start()]))
        return asked and said.isascii() and not re.search("E|G", self.tags)

    def keys(self) -> None:
        query = self.query
        times = [column for column in self.subject.columns if column_fits(column, "time") >= 0.95]
        key = r"(?:[EG]|Y|(?<=·)&(?=[CU]))[EYG]*#?(?P<k>[CQ](?:&E?[CQ])*|U)G?(?![^·]*Z)"
        while match := self.take(key) if self._grouped() else None:
            span = range(*match.span("k"))
            following = self.tags[match.end() : match.end() + 1]
            if match["k"] == "C" and following == "C" and self._one_noun(match.end()):
                # "each product category" speaks of categories.
                span = range(match.end(), match.end() + 1)
                self.blot_all(span)
            for index in span:
                unit = self.units[index]
                if unit.tag == "U":
                    self._unit_key(unit, times)
                elif unit.column is not None and Key(unit.column) not in query.keys:
                    query.keys.append(Key(unit.column))
        if match := re.search(r"U", self.tags):
            unit = self.units[match.start()]
            if times and not query.keys:
                self._unit_key(unit, times)
                self.tags = self.tags[: match.start()] + "·" + self.tags[match.end() :]

    def _asks_who(self) -> bool:
        return any(unit.tag == "h" and unit.key in ("who", "谁") for unit in self.units)

    def _one_noun(self, place: int) -> bool:
        """Whether a column's name directly follows another's, as in *product category*."""
        unit = self.units[place]
        texts = unit.column is not None and unit.column.kind in ("text", "category")
        return texts and self.units[place - 1].end == unit.start and self.tags[place + 1 : place + 2] != "#"

    def _grouped(self) -> bool:
        return bool(re.search(r"E|G|Y", self.tags))

    def _unit_key(self, unit: Unit, times: list[Column]) -> None:
        whole = next((c for c in self.subject.columns if c.name.lower() == unit.key), None)
        if whole is not None:
            self.query.keys.append(Key(whole))
        elif times:
            self.query.keys.append(Key(times[0], unit.key))

    def aggregates(self) -> None:
        query = self.query
        before = r"(?P<f>[AM](?:&[AM])*)(?:Xi)?[*iF]*(?P<c>C(?:&C(?![AM]))*)"
        while match := self.take(before) or self.take(r"(?P<c>C(?:&C)*)=?(?P<f>[AM](?:&[AM])*)"):
            functions = [self.units[i].key for i in range(*match.span("f")) if self.units[i].tag in "AM"]
            for column in self.columns(match, "c"):
                query.aggregates += [Aggregate(FUNCTION.get(name, name), column) for name in functions]
        if match := self.take(r"#[*]?[uV]?u(?P<c>C)|u(?P<d>C)#|(?P<e>C)#?u#|(?P<g>C)u#"):
            distinct = next(self.units[match.start(g)].column for g in "cdeg" if match[g])
            query.aggregates.append(Aggregate("unique", distinct))
        elif match := self.take(r"#[RF*if]*(?P<c>C)?|[RC]#|q"):
            counted = self.unit(match, "c").column if match.groupdict().get("c") else None
            # "number of orders" counts rows; "number of prices" counts the prices that are there.
            query.aggregates.append(Aggregate("count", None))
            if counted is not None and not query.keys and not query.conditions:
                query.aggregates[-1] = Aggregate("unique" if counted.kind == "text" else "count", counted)
        if not query.aggregates and (match := self.take(r"u(?P<c>C)|(?P<d>C)u")):
            query.distinct = True
            query.select = [column for g in "cd" if match[g] for column in self.columns(match, g)]

    def rest(self) -> None:
        """What is left: columns to show or to add up, and words that say nothing new."""
        query = self.query
        if query.aggregates:
            self.ignored()
        told = [condition.column for condition in query.conditions]
        told += [key.column for key in query.keys]
        self.blot_all(
            i for i, tag in enumerate(self.tags) if tag == "C" and self.units[i].column in told and query.aggregates
        )
        if query.conditions and not query.aggregates:
            # In "lamps sold in Oslo" nothing but the rows is asked for.
            verbs = [i for i, tag in enumerate(self.tags) if tag == "C" and self._said(i) & _PARTICIPLES]
            self.blot_all(verbs if "h" not in self.tags else ())
        left = [i for i, tag in enumerate(self.tags) if tag in "CQ"]
        columns = [column for i in left if (column := self.units[i].column) is not None]
        if query.keys and columns and not (query.aggregates or query.pick or query.each):
            kind = "mean" if AVERAGED.search(columns[0].name) and not query.share else "sum"
            numbers = [column for column in columns if column.kind in ("number", "bool", "")]
            query.aggregates = [Aggregate(kind, column) for column in numbers]
            self.blot_all(i for i in left if self.units[i].column in numbers)
        elif not query.aggregates and not query.pick:
            query.select = query.select or columns
            self.blot_all(left)
        elif (
            query.aggregates
            and query.label is None
            and columns
            and not query.keys
            and len(columns) == 1
            and query.chart
        ):
            query.keys = [Key(columns[0])]
            self.blot_all(left)
        if query.share and len(query.select) == 1 and not query.conditions and not query.aggregates:
            # "what percentage has which status"
            query.keys, query.aggregates, query.select = [Key(query.select[0])], [Aggregate("count")], []
        if len(query.select) == 1 and (query.order or query.limit or query.conditions) and not query.distinct:
            self._whole_rows()
        if query.keys and not (query.aggregates or query.pick or query.each or columns):
            # "trips per hour" counts trips.
            self.take(r"#|R#?")
            query.aggregates = [Aggregate("count", None)]
        if query.conditions and not (query.select or query.aggregates or query.pick) and self._asks_who():
            query.select = [c for c in self.subject.columns if c.kind == "text"][:1]
        query.as_list = "l" in self.tags
        # "the math score" means the column math.
        self.blot_all(
            i for i, unit in enumerate(self.units)
            if unit.tag == "X" and i and self.units[i - 1].column and self.units[i - 1].end == unit.start
            and column_groups(unit.text)
        )  # fmt: skip
        self.blot_all(
            i for i, tag in enumerate(self.tags) if tag in "FfRiWYwr&hl=k*·E1G2" or (tag == "K" and query.removes)
        )

    def _said(self, place: int) -> set[str]:
        unit = self.units[place]
        return {token.text.lower() for token in self.spoken[unit.start : unit.end]}

    def ignored(self) -> None:
        """*Ignoring missing values*: aggregates leave them out by themselves."""
        match = re.search(r"(?P<w>[X>KW!])m", self.tags)
        if match and self.unit(match, "w").text.lower() in ("ignoring", "ignore", "skipping", "excluding", "without"):
            self.blot(match)

    def _whole_rows(self) -> None:
        """In 把产品按价格排序 the products are the rows of ``products``, not its column ``product``."""
        column = self.query.select[0]
        said = {unit.text for unit in self.units if unit.column == column}
        spoken = {
            t.text.lower() for unit in self.units if unit.column == column for t in self.spoken[unit.start : unit.end]
        }
        if said and name_parts(column.name) == name_parts(self.subject.name) and column.name.lower() not in spoken:
            self.query.select = []


def queries(read: Read, subject: Variable) -> list[Query]:
    """The readings of an instruction as a query over ``subject``, the likeliest first."""
    first = _Reader(read, subject).read()
    found = [first]
    if any(token.key in ("longest", "shortest") for token in read.tokens) and any(
        a.column is not None and a.column.kind in ("text", "category") and a.function in ("max", "min")
        for a in first.aggregates
    ):
        return []  # a text is long by its letters, not by its place in the alphabet
    guessed = first.keys and first.aggregates and not any(t.key in _AGGREGATING for t in read.tokens)
    if guessed and all(a.column for a in first.aggregates):
        other = "mean" if first.aggregates[0].function == "sum" else "sum"
        found.append(replace(first, aggregates=[Aggregate(other, a.column) for a in first.aggregates]))
    return found


_AGGREGATING = frozenset(("mean", "sum", "median", "max", "min", "std", "var", "count", "unique"))
