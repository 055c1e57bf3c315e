"""``famulus bench review --part breaks``: which broken call sites are found, and how many findings are wrong."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from famulus.bench import review_peers as peers
from famulus.bench.report import median, table
from famulus.bench.review_callers import Site, callers
from famulus.bench.review_kinds import KINDS, breaks
from famulus.bench.review_packages import Package, packages
from famulus.bench.review_targets import Break
from famulus.bench.review_traced import traced
from famulus.lsp_server.review.change import Change, Memory, between
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.review import Options, counts, review

RULES = ("call-site", "contract")
"""The rules that are measured here."""


@dataclass
class Case:
    """One package with its breaks and their callers, and what was found."""

    package: Package
    made: list[Break]
    sites: list[Site]
    change: Change
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    hits: dict[Site, bool] = field(default_factory=dict)
    wrong: list[tuple[str, Finding]] = field(default_factory=list)
    traced: dict[Site, bool] = field(default_factory=dict)
    """Callers that could be run, and whether the break makes a difference to them."""
    griffe: set[str] | None = None
    """Kinds that griffe reports."""
    pyright: set[tuple[str, int]] | None = None
    """Lines with a new error of basedpyright."""

    def breaks(self, site: Site) -> bool:
        """The truth about a caller: what was seen when it ran, else how it was made."""
        return self.traced.get(site, site.breaks)

    @cached_property
    def places(self) -> set[tuple[str, int]]:
        """Where findings stand, or name calls that rely on something."""
        return {place for finding in self.findings for place in _places(finding)}


def case(package: Package, kinds: Sequence[str], seed: int) -> Case:
    """The breaks of a package, without a look at them."""
    made = breaks(package, kinds, seed)
    old = dict(package.files) | {"app/__init__.py": b""}
    sites = []
    for broken in made:
        files, found = callers(broken)
        old |= files
        sites += found
    new = old | {broken.target.path: broken.text.encode() for broken in made}
    return Case(package, made, sites, between(Memory(old), Memory(new)))


def look(measured: Case) -> None:
    """Runs the rules and judges what they find."""
    started = time.perf_counter()
    report = review(measured.change, Options(only=RULES, run_code="no", budget=None))
    measured.seconds = time.perf_counter() - started
    measured.findings = [finding for finding in report.findings if counts(finding)]
    where = [(finding, _places(finding)) for finding in measured.findings]
    broken = [site for site in measured.sites if measured.breaks(site)]
    for site in broken:
        measured.hits[site] = not measured.places.isdisjoint(_wanted(site))
    allowed = {place for site in broken for place in _wanted(site)}
    kinds = {s.path.split("/")[1]: s.kind for s in measured.sites}
    for finding, places in where:
        if any(place[0].startswith("app/") and place not in allowed for place in places):
            path = next(path for path, _ in sorted(places) if path.startswith("app/"))
            measured.wrong.append((kinds[path.split("/")[1]], finding))


def _wanted(site: Site) -> set[tuple[str, int]]:
    """Places one of which a finding must name."""
    return {(site.path, line) for line in site.lines} | site.elsewhere


def _places(finding: Finding) -> set[tuple[str, int]]:
    """Where a finding stands; one about a changed default also where calls rely on it."""
    places = {(finding.place.path, finding.place.line)}
    if finding.rule == "contract/default":
        places |= {(r.place.path, r.place.line) for r in finding.related}
    return places


def cases(most: int, kinds: Sequence[str], seed: int, *, beside: bool) -> Iterator[Case]:
    """The packages one after the other; ``beside``: ask griffe and basedpyright as well."""
    for package in packages(most):
        measured = case(package, kinds, seed)
        measured.traced = traced(measured.change, measured.made, measured.sites)
        look(measured)
        if beside:
            measured.griffe = peers.griffe(package.name, measured.change, measured.made)
            measured.pyright = peers.basedpyright(measured.change)
        yield measured


def report(most: int, kinds: int, seed: int, failures: int, *, beside: bool = True) -> str:
    """The tables. ``kinds``: how many kinds of break, the rarest first."""
    chosen = list(KINDS)[:kinds]
    done = list(cases(most, chosen, seed, beside=beside))
    text = [f"Packages: {', '.join(str(d.package) for d in done)}.", _by_kind(done, chosen), _by_form(done)]
    text.append(_truth(done))
    text.append(
        f"Median time of the two rules for a package: {median([d.seconds for d in done]):.1f} s; findings: "
        f"{sum(len(d.findings) for d in done)}, of them in the package's own code "
        f"{sum(not f.place.path.startswith('app/') for d in done for f in d.findings)} (whose truth is not known)."
    )
    if failures:
        text.append(_failures(done, failures))
    return "\n\n".join(text)


def _truth(done: Sequence[Case]) -> str:
    """How much of the truth was seen, and what others say of it."""
    run = sum(len(d.traced) for d in done)
    sites = sum(len(d.sites) for d in done)
    other = sum(seen is not site.breaks for d in done for site, seen in d.traced.items())
    text = f"Of {sites} callers {run} were run in the old and the new package and traced"
    text += f" ({other} of them fared otherwise than they were made to); of the others the making is the truth."
    errors = [(d, place) for d in done for place in d.pyright or ()]
    if errors:
        also = sum(place in d.places for d, place in errors)
        text += f" Of {len(errors)} lines with a new error of basedpyright {_share(also, len(errors))} have a finding."
    return text


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _by_kind(done: Sequence[Case], kinds: Sequence[str]) -> str:
    rows = []
    for kind in [*kinds, "all"]:
        made = [(d, b) for d in done for b in d.made if kind in (b.kind, "all")]
        hits = [(d, s, hit) for d in done for s, hit in d.hits.items() if kind in (s.kind, "all")]
        wrong = sum(k == kind or kind == "all" for d in done for k, _ in d.wrong)
        right = sum(hit for *_, hit in hits)
        noticed = sum(any(hit for s, hit in d.hits.items() if s.kind == b.kind) for d, b in made)
        griffe = [b.kind in d.griffe for d, b in made if d.griffe is not None]
        typed = [
            any((s.path, line) in d.pyright for line in s.lines) for d, s, _ in hits if d.pyright is not None
        ]  # fmt: skip
        rows.append([
            kind, len(made), _share(noticed, len(made)), len(hits), _share(right, len(hits)),
            _share(right, right + wrong), _share(sum(griffe), len(griffe)), _share(sum(typed), len(typed)),
        ])  # fmt: skip
    columns = ["kind of break", "breaks", "noticed", "call sites", "sites found", "precision"]
    return table([*columns, "griffe notices", "basedpyright's sites"], rows)


def _by_form(done: Sequence[Case]) -> str:
    forms: dict[str, list[bool]] = defaultdict(list)
    for measured in done:
        for site, hit in measured.hits.items():
            owner = next(b.target.owner for b in measured.made if b.kind == site.kind)
            forms[f"{'method' if owner else 'function'}: {site.form}"].append(hit)
    rows = [[form, len(hits), _share(sum(hits), len(hits))] for form, hits in sorted(forms.items())]
    return table(["form of the call", "call sites", "found"], rows)


def _failures(done: Sequence[Case], most: int) -> str:
    missed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for d in done:
        targets = {b.kind: b for b in d.made}
        for site, hit in d.hits.items():
            if not hit:
                broken = targets[site.kind]
                shown = f"{site.path}:{max(site.lines)} `{site.text}` of {broken.target.dotted}{broken.old}"
                missed[site.kind, site.form].append(shown)
    lines = ["Missed:"]
    for (kind, form), sites in sorted(missed.items(), key=lambda pair: -len(pair[1]))[:most]:
        lines.append(f"- {kind}, {form}: {len(sites)}; as {sites[0]}")
    lines.append("Wrong:")
    wrong = [(d.package.name, kind, f) for d in done for kind, f in d.wrong]
    lines += [f"- {name}, {kind}: {f.rule}: {f.message}" for name, kind, f in wrong[:most]]
    return "\n".join(lines)
