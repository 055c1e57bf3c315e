# ruff: noqa: E501
"""What programs do with the packages: a few lines each, as their manuals show it, which print what comes out.

``famulus bench review --part witness`` runs them on mutants: what they print otherwise, a caller can see.
"""

from __future__ import annotations

USAGE = {
    "click": """
import click
from click.testing import CliRunner
@click.group()
@click.option("--debug/--no-debug", default=False)
@click.version_option("1.2")
def cli(debug): click.echo(f"debug {debug}")
@cli.command(short_help="adds")
@click.argument("numbers", nargs=-1, type=int)
@click.option("--kind", type=click.Choice(["sum", "max"]), default="sum", show_default=True, help="What to do.")
@click.option("-v", count=True)
@click.option("--at", type=click.DateTime(), envvar="AT")
@click.option("--n", type=click.IntRange(0, 10, clamp=True), prompt=True)
def add(numbers, kind, v, at, n): click.secho(f"{numbers} {kind} {v} {at} {n}", fg="red")
@cli.command()
@click.argument("file", type=click.File("r"), default="-")
@click.confirmation_option(prompt="Sure?")
def read(file):
    with click.progressbar([1, 2, 3], label="go") as bar:
        for item in bar: pass
    click.echo(file.read().upper()); click.echo_via_pager("one\\ntwo"); raise click.UsageError("no")
run = CliRunner()
for words in (["--help"], ["add", "--help"], ["add", "1", "2", "--n", "20"], ["add", "x"], ["add", "-vv", "--at", "2024-01-02", "3"],
              ["--debug", "read", "-"], ["rea"], ["--version"], ["add", "--kind", "min"], ["add", "--nn"], []):
    done = run.invoke(cli, words, input="5\\ny\\nabc\\n", env={"AT": "2020-05-06"})
    print(words, done.exit_code, done.output)
print(repr(click.style("x", bold=True, bg="blue")), click.unstyle("\\x1b[31mx\\x1b[0m"), click.format_filename(b"a/b", shorten=True))
with run.isolated_filesystem():
    open("f", "w").write("abc"); print(click.open_file("f").read(), run.invoke(cli, ["read", "f"], input="y").output)
""",
    "requests": """
import requests
from requests.adapters import BaseAdapter
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from requests.cookies import cookiejar_from_dict
import io
class Fake(BaseAdapter):
    def send(self, request, **kwargs):
        print(request.method, request.url, dict(request.headers), request.body if isinstance(request.body, (str, bytes, type(None))) else "?")
        r = requests.Response(); r.request = request; r.url = request.url; r.headers.update({"Content-Type": "text/html; charset=latin-1", "X": "1"})
        r.status_code = 302 if request.url.endswith("/go") else 404 if "missing" in request.url else 200
        if r.status_code == 302: r.headers["Location"] = "/there?x=1"
        r.raw = io.BytesIO(b'{"a": [1, 2]}'); r.reason = "Odd"; return r
    def close(self): pass
s = requests.Session(); s.mount("http://", Fake()); s.headers["A"] = "b"; s.cookies.set("k", "v"); s.params = {"q": "1"}
for call in (lambda: s.get("http://user:pw@h.org/go"), lambda: s.post("http://h.org/ä b", data={"x": ["1", "2"]}), lambda: s.post("http://h.org", json={"a": 1}),
             lambda: s.put("http://h.org", data=b"raw", auth=("u", "p")), lambda: s.head("http://h.org/go"), lambda: s.get("htp:/x"),
             lambda: s.get("http://h.org/missing", cookies={"c": "d"}, params=[("a", None), ("b", "2")]), lambda: s.get("http://h.org", headers={"A": None})):
    try:
        r = call(); print(r, r.url, r.ok, r.history, r.encoding, r.text, r.json(), r.is_redirect, r.links, list(r.iter_content(4))); r.raise_for_status()
    except Exception as e: print(type(e).__name__, e)
print(requests.utils.parse_header_links('<http://a>; rel="next", <b>; rel=x'), requests.utils.unquote_unreserved("%7Ea%2F"), requests.utils.requote_uri("a b%"))
print(requests.utils.get_encoding_from_headers({"content-type": "text/html"}), requests.utils.address_in_network("10.0.0.3", "10.0.0.0/8"))
print(requests.utils.should_bypass_proxies("http://a.b.org/", "b.org,c"), requests.utils.dict_from_cookiejar(cookiejar_from_dict({"a": "b"})))
print(requests.utils.get_auth_from_url("http://a:b@c"), requests.utils.guess_filename(open(requests.__file__)), requests.utils.super_len("abc"))
""",
    "jinja2": """
import jinja2, asyncio
from jinja2.sandbox import SandboxedEnvironment
env = jinja2.Environment(trim_blocks=True, autoescape=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols", "jinja2.ext.i18n"],
    loader=jinja2.DictLoader({"base": "<{% block a %}x{% endblock %}>{% block b scoped %}{% endblock %}", "m": "{% macro f(x, y=2) %}{{ x }}-{{ y }}{{ caller and caller() }}{% endmacro %}"}))
for text in ("{% extends 'base' %}{% block a %}{{ super() }}{{ self.b() }}{% endblock %}", "{% for i in xs recursive %}{{ loop.index }}/{{ loop.length }}{{ loop.cycle('a','b') }}{{ loop.first }}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.changed(i) }}{% else %}none{% endfor %}",
    "{% import 'm' as m %}{{ m.f(1) }}{% call m.f(y=3, x='<') %}c{% endcall %}", "{% set a = [1,2] %}{% do a.append(3) %}{{ a|join(',')|upper }}{{ a|sum }}{{ a[1:] }}{{ a|batch(2)|list }}",
    "{{ {'a':1}|tojson }}{{ 'a<b'|e }}{{ 'x y z'|wordwrap(2) }}{{ 'hello world'|title|truncate(5) }}{{ 3.14159|round(2) }}{{ 12345678|filesizeformat }}{{ xs|sort(reverse=true)|list }}",
    "{{ xs|groupby('n')|list if false else 1 }}{% if a is defined and xs is iterable or 2 in xs %}y{% elif not b %}z{% endif %}{{ undefined_name }}{{ 1 + 2 * 3 ** 2 // 4 % 5 ~ 'a' }}",
    "{% filter upper %}abc{{ 'http://a.org'|urlize }}{% endfilter %}{% with a=1, b=2 %}{{ a - b }}{% endwith %}{% raw %}{{ x }}{% endraw %}{# c #}{% trans n=2 %}one{% pluralize %}{{ n }}{% endtrans %}",
    "{{ x.y.z }}", "{% for %}", "{{ 1 + }}", "{{ xs|nope }}", "{% for a, b in {'k': 1}|dictsort %}{% if a == 'q' %}{% continue %}{% endif %}{{ a }}{{ b }}{% endfor %}{{ range(3)|map('string')|reject('eq', '1')|list }}"):
    try: t = env.from_string(text); print(t.render(xs=[1, 2, 2, 5])); print("".join(t.generate(xs=[])))
    except Exception as e: print(type(e).__name__, e, getattr(e, "lineno", None))
a = jinja2.Environment(enable_async=True).from_string("{% for i in xs %}{{ loop.index }}{{ loop.last }}{{ i }}{% endfor %}")
print(asyncio.run(a.render_async(xs=[3, 4])))
try: SandboxedEnvironment().from_string("{{ ''.__class__ }}{{ 'a'.format(1) }}{{ range(999999999) }}").render()
except Exception as e: print(type(e).__name__, e)
print(env.compile_expression("a + 1")(a=2), list(env.lex("a {{ b }}")), jinja2.meta.find_undeclared_variables(env.parse("{{ q }}{% set r = s %}{% include 'base' %}")) if hasattr(jinja2, "meta") else "")
print(env.get_template("m").module.f(3), env.list_templates(), jinja2.Template("{{ a }}\\n", keep_trailing_newline=True).render(a=1))
""",
    "packaging": """
from packaging.version import Version, parse, InvalidVersion
from packaging.specifiers import SpecifierSet, Specifier
from packaging.requirements import Requirement
from packaging.markers import Marker
from packaging.utils import canonicalize_name, canonicalize_version, parse_wheel_filename, parse_sdist_filename
from packaging import tags, metadata
vs = [Version(v) for v in ("1.0", "1.0.post1", "2!1.0a1.dev3+local.7", "1.1rc2", "0.9.dev1", "1.0.0")]
print([str(v) for v in sorted(vs)], [(v.major, v.pre, v.post, v.dev, v.local, v.is_prerelease, v.base_version, v.epoch, v.public) for v in vs])
for s in (">=1.0,<2", "~=1.0", "==1.0.*", "!=1.0", "===1.0", ">1.0", "<=1.0a1", ""):
    spec = SpecifierSet(s); print(s, [str(v) for v in spec.filter(vs)], [v in spec for v in vs], spec.contains("1.1rc2", prereleases=True), repr(spec & SpecifierSet("<9")))
for r in ("a[b,c]>=1,<2; python_version < '3' and extra == 'x'", "n @ https://x.org/a.zip ; os_name=='nt'", "bad name", "a (>=1)"):
    try: q = Requirement(r); print(q, q.extras, q.marker, q.url, q == Requirement(r), q.marker and q.marker.evaluate({"extra": "x"}))
    except Exception as e: print(type(e).__name__, e)
for m in ("python_version >= '3.8' or (os_name == 'q' and 'linux' in sys_platform)", "platform_machine not in 'x y'", "a == 1", "extra == 'a-B'"):
    try: print(Marker(m), Marker(m).evaluate({"extra": "A_b"}))
    except Exception as e: print(type(e).__name__, e)
print(canonicalize_name("A_b.-C"), canonicalize_version("1.4.0.0"), parse_wheel_filename("a_b-1.0-2x-py3-none-any.whl"), parse_sdist_filename("a-1.0.tar.gz"))
print(list(tags.cpython_tags((3, 9), ["cp39"], ["p1"]))[:9], list(tags.compatible_tags((3, 3), "cp33", ["p"]))[:5], list(tags.mac_platforms((11, 0), "arm64"))[:3])
raw, rest = metadata.parse_email("Metadata-Version: 2.1\\nName: a\\nVersion: 1\\nKeywords: a,b\\nRequires-Dist: b>1\\nX-Q: z\\n\\nText"); print(raw, rest)
""",
    "markdown_it": """
from markdown_it import MarkdownIt
text = '''# A *b*\\n\\nSet\\n===\\n\\n- a\\n  1. b\\n\\n     c\\n- d\\n\\n> q **r** `c`\\nlazy\\n\\n```py\\nx\\n```\\n\\n    code\\n\\n[l]( /u "t") ![i](s) <http://a.b> &amp; \\\\* a  \\nb\\n\\n| a | b |\\n|:-:|--|\\n| 1 | `x\\\\|` |\\n\\n***\\n<div>\\nh\\n</div>\\n\\n[r]: /x 'y'\\n[r] ~~s~~ www.a.org "q" ... (c)\\n'''
for preset in ("commonmark", "default", "zero", "gfm-like"):
    try: md = MarkdownIt(preset, {"typographer": True, "linkify": False}).enable(["replacements", "smartquotes"], True); print(md.render(text)); print([(t.type, t.tag, t.level, t.map, t.content) for t in md.parse(text)])
    except Exception as e: print(type(e).__name__, e)
md = MarkdownIt().disable("image"); print(md.renderInline("a ![b](c) _d_"), md.get_active_rules(), md.parseInline("a\\nb")[0].children[0].as_dict())
""",
    "lark": """
import lark
g = '''start: e+ \\n e: e "+" t -> add | t \\n t: NUMBER | "(" e ")" | NAME [":" NAME] \\n %import common.NUMBER \\n %import common.CNAME -> NAME \\n %import common.WS \\n %ignore WS \\n'''
class T(lark.Transformer):
    def NUMBER(self, x): return float(x)
    @lark.v_args(inline=True)
    def add(self, a, b): return ("+", a, b)
for parser in ("earley", "lalr", "cyk"):
    for text in ("1+(2+a)", "1 + b:c", "1 ++", ""):
        try: p = lark.Lark(g, parser=parser, propagate_positions=True); t = p.parse(text); print(t.pretty(), T().transform(t), [s.data for s in t.iter_subtrees()], list(t.find_data("add")))
        except Exception as e: print(type(e).__name__, str(e)[:300])
print([(k.type, k.value, k.line, k.column) for k in lark.Lark(g, parser="lalr", lexer="basic").lex("1 + q")])
""",
    "mistune": """
import mistune
text = '# A\\n\\n- a\\n  - [ ] b\\n\\n1. x\\n\\n> q\\n\\n```py\\nx\\n```\\n\\n| a | b |\\n|---|:-:|\\n| 1 | 2 |\\n\\n~~s~~ **b** *i* `c` <http://a.b> [l](u "t") ![i](s) [^1] http://x.org\\n\\n[^1]: note\\n\\nterm\\n: def\\n\\n***\\n<b>h</b>\\n'
md = mistune.create_markdown(plugins=["strikethrough", "table", "footnotes", "task_lists", "url", "def_list", "abbr", "mark", "superscript", "math"]); print(md(text))
print(mistune.create_markdown(renderer="ast")(text)); print(mistune.html(text)); print(mistune.create_markdown(escape=False, hard_wrap=True)("a\\nb <i>"))
from mistune.renderers.markdown import MarkdownRenderer; from mistune.renderers.rst import RSTRenderer
print(mistune.create_markdown(renderer=MarkdownRenderer())(text)); print(mistune.create_markdown(renderer=RSTRenderer())("# a\\n\\n*b* `c`\\n"))
""",
    "bs4": """
from bs4 import BeautifulSoup, SoupStrainer, Comment
s = BeautifulSoup("<html><head><title>T</title></head><body class='a b'><p id=1>x <b>y</b> &amp; z</p><p class='q'>w<br/><a href='u'>l</a></p><!-- c --><ul><li>1<li>2</ul></body></html>", "html.parser")
print(s.prettify(), s.title.string, s.find("p", id="1").get_text("|", strip=True), s.find_all(["a", "b"]), s.select("p.q > a"), s.body["class"], s.find(string="w").next_element)
print([t.name for t in s.b.parents], list(s.p.next_siblings), s.find_all("p", limit=1), s.find_all(class_="q"), s.find(lambda t: t.has_attr("href")), list(s.stripped_strings))
s.p.append("new"); s.a["href"] = "v"; s.b.replace_with("B"); s.li.insert_before(s.new_tag("li", id="n")); s.ul.li.decompose(); s.br.wrap(s.new_tag("i")); s.a.unwrap(); print(s, s.decode(formatter="html"), s.encode("latin-1"))
print(BeautifulSoup("<a>1</a><b>2</b>", "html.parser", parse_only=SoupStrainer("b")), s.find(string=lambda x: isinstance(x, Comment)), s.p == s.p, s.p.smooth(), s.ul.extract(), len(s.body), s.body.index(s.p))
""",
    "arrow": """
import arrow, datetime
a = arrow.get("2024-02-29T12:30:45.123456+02:00"); u = arrow.get(2020, 1, 31, tzinfo="US/Pacific")
print(a, a.to("UTC"), a.shift(years=1, months=-1, weeks=2), a.floor("hour"), a.ceil("week"), a.replace(hour=1), a.humanize(u), u.humanize(a, granularity=["month", "day"]), a.humanize(u, locale="de"), a.span("quarter"), a.isocalendar(), a.timestamp())
print(a.format("YYYY MMMM DD dddd HH:mm:ss ZZ W Do a"), a.format("RFC2822"), list(arrow.Arrow.range("month", u, a, limit=3)), list(arrow.Arrow.interval("hours", u, u.shift(hours=5), 2)), a - u, a > u, a.is_between(u, a), u.dst(), a.for_json(), u.dehumanize("2 days ago"), a.dehumanize("in a month"))
for t, f in (("1 May 2020", "D MMM YYYY"), ("2020-13-01", None), ("20200102T0304", None), ("12/31/99 5pm", "MM/DD/YY hA"), ("2020-W05-3", None), ("1565358758", "X"), ("x", "YYYY")):
    try: print(arrow.get(t, f) if f else arrow.get(t))
    except Exception as e: print(type(e).__name__, e)
""",
    "jsonschema": """
import jsonschema
from jsonschema import Draft7Validator, Draft202012Validator, Draft4Validator, FormatChecker
schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 2, "multipleOf": 2}, "b": {"enum": [1, "x"]}, "c": {"type": "array", "items": {"$ref": "#/$defs/s"}, "minItems": 1, "uniqueItems": True, "contains": {"const": "q"}}, "d": {"anyOf": [{"type": "null"}, {"pattern": "^z"}]}, "e": {"not": {}}, "f": {"format": "ipv4"}, "g": {"oneOf": [{"type": "number"}, {"minimum": 3}]}},
  "required": ["a"], "additionalProperties": False, "$defs": {"s": {"type": "string", "maxLength": 3}}, "if": {"required": ["b"]}, "then": {"required": ["c"]}, "dependentRequired": {"d": ["a"]}, "patternProperties": {"^x": {"type": "boolean"}}, "propertyNames": {"maxLength": 4}}
for V in (Draft4Validator, Draft7Validator, Draft202012Validator):
    for item in ({"a": 2}, {"a": 3, "b": 2}, {}, [], {"a": 4, "c": ["q", "q", "long!", 1]}, {"a": 1, "d": "y", "e": 1, "zz": 2}, {"a": 2, "b": "x", "f": "1.2.3", "g": 5, "xy": 0, "toolong": 1}):
        v = V(schema, format_checker=FormatChecker()); print(V.__name__, v.is_valid(item), [(list(e.path), list(e.schema_path), e.message, e.validator) for e in sorted(v.iter_errors(item), key=str)])
try: jsonschema.validate({"a": "x"}, schema)
except jsonschema.ValidationError as e: print(e, jsonschema.exceptions.best_match([e]))
try: Draft7Validator.check_schema({"type": 12})
except jsonschema.SchemaError as e: print(e.message)
t = jsonschema.exceptions.ErrorTree(Draft7Validator(schema).iter_errors({"a": 1, "b": 5})); print(t.total_errors, list(t), t["a"].errors, "b" in t)
""",
    "parso": """
import parso
for t in ("def f(a, *b, c=1) -> int:\\n    '''d'''\\n    return [x for x in a if x] + yield_\\n\\n@d\\nclass A(B):\\n  x: int = 3\\n  async def g(self): await z\\n", "if x:\\n  1\\n else 2\\n(", "f'{a!r:>{w}} b'\\nimport a.b as c, d\\nfrom . import (x as y, z)\\nfor i in 1,: pass\\n", "x = = 1\\n\\tbreak\\nreturn\\n", "lambda: (yield)\\nnonlocal q\\ndel f()\\n"):
    g = parso.load_grammar(version="3.9"); m = g.parse(t); print(m.get_code() == t, m.dump() if hasattr(m, "dump") else m, [(i.start_pos, i.code, i.message) for i in g.iter_errors(m)], [i.code for i in g._get_normalizer_issues(m)])
    print([(f.name.value, [p.name.value for p in f.get_params()], f.is_generator(), f.annotation) for f in m.iter_funcdefs()], [[n.value for n in i.get_defined_names()] for i in m.iter_imports()], m.get_used_names().keys() if hasattr(m, "get_used_names") else "", m.get_leaf_for_position((1, 3)), m.get_first_leaf().get_next_leaf())
g = parso.load_grammar(); m = g.parse("a\\nb = 1\\n", diff_cache=True, path="q", cache=True); print(g.parse("a\\nc = 2\\nb\\n", diff_cache=True, path="q", cache=True).get_code(), parso.split_lines("a\\r\\nb\\x0c", keepends=True), parso.utils.parse_version_string("3.10"), parso.python_bytes_to_unicode(b"# coding: latin-1\\n\\xe4"))
""",
    "cattrs": """
import cattrs, attr, enum, typing, datetime
from cattrs.gen import make_dict_unstructure_fn, override
@attr.define
class P: x: int; y: typing.Optional[str] = None
@attr.define
class Q: ps: typing.List[P]; m: typing.Dict[str, float]; u: typing.Union[int, str] = 1; t: typing.Tuple[int, ...] = (); s: typing.Set[int] = attr.Factory(set); lit: typing.Literal["a", 2] = "a"
class E(enum.Enum): A = "a"
@attr.define
class R: e: E; z: typing.Literal[3] = 3
for C in (cattrs.Converter, cattrs.GenConverter, cattrs.BaseConverter):
    c = C();
    for kind, v in ((Q, {"ps": [{"x": "1"}, {"x": 2, "y": 3}], "m": {"a": "1.5"}, "t": ["1"], "s": [1, 1]}), (Q, {"ps": [{"q": 1}], "m": 3}), (typing.List[typing.Union[P, R]], [{"x": 1}, {"e": "a", "z": 3}]), (E, "a"), (E, "b"), (typing.Dict[int, P], {"1": {"x": 0}}), (typing.Tuple[int, str], ["1", 2]), (typing.Optional[P], None), (typing.FrozenSet[int], "12"), (bytes, b"q")):
        try: r = c.structure(v, kind); print(r, c.unstructure(r), c.unstructure(r, unstructure_as=kind))
        except Exception as e:
            print(type(e).__name__, e)
            try: print(cattrs.transform_error(e))
            except Exception as f: print(type(f).__name__)
c = cattrs.Converter(forbid_extra_keys=True, omit_if_default=True); c.register_unstructure_hook(P, make_dict_unstructure_fn(P, c, y=override(rename="why"))); print(c.unstructure(P(1, "b")), c.unstructure(Q([], {})))
from cattrs.preconf.json import make_converter; print(make_converter().dumps(Q([P(1)], {"a": 1.0})), make_converter().loads('{"x": 3}', P))
""",
    "fsspec": """
import fsspec
from fsspec.utils import infer_storage_options, stringify_path, common_prefix, other_paths, tokenize, infer_compression, get_protocol
fs = fsspec.filesystem("memory"); fs.pipe({"/a/b.txt": b"hello", "/a/c/d.bin": bytes(9)}); fs.mkdir("/e")
print(fs.ls("/a", detail=False), fs.find("/"), fs.glob("/a/**"), fs.glob("/a/*.txt"), fs.cat("/a/b.txt"), fs.cat_file("/a/b.txt", 1, 3), fs.du("/a"), fs.exists("/z"), fs.isdir("/e"), fs.info("/a/b.txt")["size"], fs.head("/a/b.txt", 2), fs.tail("/a/b.txt", 2), list(fs.walk("/a")), fs.tree("/") if hasattr(fs, "tree") else "")
fs.copy("/a/b.txt", "/a/z"); fs.mv("/a/z", "/y"); fs.rm("/a/c", recursive=True); print(fs.find("/"), fs.sizes(["/y"]), fs.unstrip_protocol("/y"), fs.expand_path("/a", recursive=True))
with fs.open("/y", "rb") as f: print(f.read(2), f.tell(), f.seek(0), f.readline())
with fsspec.open("memory://q.gz", "wt", compression="gzip") as f: f.write("zip")
with fsspec.open("memory://q.gz", "rt", compression="infer") as f: print(f.read())
m = fs.get_mapper("/a"); m["k"] = b"v"; print(list(m), m["b.txt"], len(m), "k" in m); print(fsspec.core.url_to_fs("memory://x/y")[1], fsspec.core.expand_paths_if_needed(["a*"], "wb", 2, fs, None), fsspec.core.split_protocol("s3://b/k"), fsspec.core.get_fs_token_paths("memory://y")[2])
print(infer_storage_options("hdfs://u:p@h:80/p?a=b#f"), common_prefix(["/a/b/c", "/a/b/d"]), other_paths(["/a/b"], "/q"), infer_compression("x.zst"), get_protocol("a::b://c"), tokenize(1))
from fsspec.caching import ReadAheadCache, BytesCache; c = BytesCache(4, lambda s, e: bytes(range(s, e)), 20); print(c._fetch(2, 5), c._fetch(6, 9), c._fetch(0, 3))
from fsspec.implementations.reference import ReferenceFileSystem; r = ReferenceFileSystem({"x": "data", "y/z": ["memory://y", 1, 3]}, fs=fs, remote_protocol="memory"); print(r.cat("x"), r.find(""), r.cat("y/z"))
""",
    "attr": """
import attr
from attr import validators as V, converters as C
@attr.s(order=True)
class A: x = attr.ib(validator=V.instance_of(int), converter=C.optional(int)); y = attr.ib(default=attr.Factory(list), repr=False, eq=False)
@attr.define(slots=True, kw_only=True)
class B: n: int = attr.field(validator=[V.gt(0), V.in_([1, 2, 3])]); s: str = attr.field(default="q", validator=V.matches_re("q+")); z: object = attr.field(default=None, validator=V.optional(V.deep_iterable(V.instance_of(int), V.instance_of(list))))
@attr.frozen
class F: a: int = 1
for do in (lambda: (A("3"), A(1) < A(2), A(1) == A(1, [2]), hash(F())), lambda: A("x"), lambda: A(None), lambda: B(n=2), lambda: B(n=5), lambda: B(n=1, s="x"), lambda: B(n=1, z=["a"]), lambda: setattr(F(), "a", 2), lambda: attr.asdict(B(n=1)), lambda: attr.astuple(A(1, [F()])), lambda: attr.evolve(F(), a=7), lambda: [f.name for f in attr.fields(B)], lambda: attr.make_class("M", ["p", "q"])(1, 2), lambda: attr.asdict(A(1, [F()]), filter=attr.filters.exclude(attr.fields(A).x)), lambda: B(1), lambda: C.to_bool("yes"), lambda: C.to_bool("?"), lambda: C.default_if_none(3)(None), lambda: C.pipe(str, len)(12), lambda: attr.has(A), lambda: repr(attr.fields(A).x.validator), lambda: attr.validate(A(1)), lambda: attr.cmp_using(eq=lambda a, b: a == b)(1) == 1, lambda: attr.resolve_types(B)):
    try: print(do())
    except BaseException as e: print(type(e).__name__, e)
""",
    "idna": """
import idna
for w in ("bücher.example", "faß.de", "königsgäßchen", "xn--bcher-kva.ch", "a..b", "-a", "ab--c", "عربي.com", "日本語。jp", "x" * 70, "a\\u200db", "Ⅷ.A", "\\u0378", "1א"):
    for f in (lambda: idna.encode(w), lambda: idna.encode(w, uts46=True, transitional=True), lambda: idna.decode(w), lambda: idna.alabel(w), lambda: idna.ulabel(w), lambda: idna.uts46_remap(w), lambda: idna.check_bidi(w), lambda: idna.valid_contextj(w, 1), lambda: idna.check_nfc(w), lambda: idna.encode(w, strict=True), lambda: idna.valid_contexto(w, 0)):
        try: print(f())
        except Exception as e: print(type(e).__name__, e)
""",
    "h11": """
import h11
c, s = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
def pump(a, b, *events):
    for e in events:
        try: d = a.send(e); print(d); b.receive_data(d or b"")
        except Exception as x: print(type(x).__name__, x)
    while True:
        try: e = b.next_event()
        except Exception as x: print(type(x).__name__, x); break
        print(repr(e))
        if e in (h11.NEED_DATA, h11.PAUSED) or isinstance(e, h11.ConnectionClosed): break
    print(a.states, b.states, a.their_http_version)
pump(c, s, h11.Request(method="POST", target="/a", headers=[("Host", "x"), ("Content-Length", "3"), ("Expect", "100-continue")])); print(s.they_are_waiting_for_100_continue)
pump(s, c, h11.InformationalResponse(status_code=100, headers=[])); pump(c, s, h11.Data(data=b"abc"), h11.EndOfMessage())
pump(s, c, h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]), h11.Data(data=b"xy"), h11.EndOfMessage(headers=[("T", "1")]))
for x in (c, s):
    try: x.start_next_cycle()
    except Exception as e: print(type(e).__name__, e)
pump(c, s, h11.Request(method="GET", target="/", headers=[("Host", "y"), ("Connection", "close")]), h11.EndOfMessage()); pump(s, c, h11.Response(status_code=404, headers=[("A", "b")], reason="No"), h11.EndOfMessage(), h11.ConnectionClosed())
for raw in (b"GET / HTTP/1.1\\r\\n\\r\\n", b"GET /\\x00 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", b"GET / HTTP/1.0\\r\\nA : b\\r\\n\\r\\n", b"PUT / HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3;x\\r\\nabc\\r\\n0\\r\\nB: c\\r\\n\\r\\n", b"GET / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 1,2\\r\\n\\r\\n"):
    pump(type("R", (), {"send": staticmethod(lambda e: e), "states": 0, "their_http_version": 0}), h11.Connection(h11.SERVER), raw)
""",
    "platformdirs": """
import platformdirs, os
os.environ.update(HOME="/h", XDG_CONFIG_DIRS="/e:/f", XDG_CACHE_HOME="/c")
from platformdirs.unix import Unix; from platformdirs.macos import MacOS; from platformdirs.android import Android; from platformdirs.windows import Windows
for K in (Unix, MacOS, Windows, Android):
    for a in ({}, {"appname": "a", "version": "1", "multipath": True}, {"appname": "a", "appauthor": "b", "roaming": True, "opinion": False}):
        d = K(**a)
        for n in sorted(x for x in dir(d) if x.startswith(("user_", "site_", "iter_"))):
            try: v = getattr(d, n); print(n, list(v()) if callable(v) else v)
            except Exception as e: print(n, type(e).__name__)
print(platformdirs.user_cache_dir("q", version="2"), platformdirs.site_config_path("z", multipath=True))
""",
    "pluggy": """
import pluggy
spec, impl = pluggy.HookspecMarker("p"), pluggy.HookimplMarker("p")
class S:
    @spec
    def go(self, a, b): "x"
    @spec(firstresult=True)
    def one(self, a): "x"
    @spec(historic=True)
    def old(self, a): "x"
class X:
    @impl(tryfirst=True)
    def go(self, a): return a + 1
    @impl
    def one(self, a): return None
    @impl
    def old(self, a): print("old", a)
class Y:
    @impl(trylast=True)
    def go(self, b): return b
    @impl
    def one(self, a): return a * 2
class W:
    @impl(wrapper=True)
    def go(self, a, b): r = yield; return r + ["w"]
    @impl(hookwrapper=True)
    def one(self, a): o = yield; o.force_result(o.get_result() + 1)
m = pluggy.PluginManager("p"); m.add_hookspecs(S); undo = m.add_hookcall_monitoring(lambda *a: print("before", a[0], a[2]), lambda o, n, i, k: print("after", n));
m.hook.old.call_historic(kwargs={"a": 1})
for p in (X(), Y(), W()): print(type(p).__name__, m.register(p, name=type(p).__name__) )
print(m.hook.go(a=1, b=2), m.hook.one(a=3), m.list_name_plugin() and [n for n, _ in m.list_name_plugin()], m.has_plugin("X"), m.get_name(m.get_plugin("Y")), [h.plugin_name for h in m.hook.go.get_hookimpls()]); undo()
print(m.subset_hook_caller("go", [m.get_plugin("X")])(a=1, b=2), m.is_blocked("X"), m.set_blocked("Z"), m.is_blocked("Z"), m.unregister(name="Y") and m.hook.go(a=1, b=2), m.check_pending(), m.hook.go.call_extra([lambda a: 9], dict(a=1, b=2)))
class Bad:
    @impl
    def go(self, zz): pass
for f in (lambda: m.register(Bad()), lambda: m.register(X(), "X"), lambda: m.hook.go(1), lambda: m.unregister(name="Q")):
    try: print(f())
    except Exception as e: print(type(e).__name__, str(e)[:80])
""",
    "pathspec": """
import pathspec
for kind in ("gitwildmatch", "gitignore"):
    try: s = pathspec.PathSpec.from_lines(kind, ["*.pyc", "!keep.pyc", "/root/", "a/**/z", "# c", "", "b[0-9]?", "\\\\#x", "dir/", "**/q"])
    except Exception as e: print(type(e).__name__, e); continue
    fs = ["x.pyc", "keep.pyc", "root/f", "s/root/f", "a/z", "a/b/c/z", "b1c", "bxc", "#x", "dir/f", "n/dir/f", "q", "m/q/r", "n.txt"]
    print(list(s.match_files(fs)), list(s.match_files(fs, negate=True)), [s.match_file(f) for f in fs], [s.check_file(f).include for f in fs], len(s), s == s, (s + s) == s)
print(list(pathspec.GitIgnoreSpec.from_lines(["*", "!a/", "!a/b"]).match_files(["a/b", "c", "a/d"])), pathspec.util.normalize_file("./a//b"), pathspec.PathSpec.from_lines("gitwildmatch", ["*.py"]).match_tree_files("."))
""",
    "traitlets": """
import traitlets as T, io
from traitlets.config import Application, Configurable, Config
class C(Configurable):
    i = T.Int(1, min=0, max=9, help="an int").tag(config=True); s = T.Unicode("a").tag(config=True); l = T.List(T.Int()).tag(config=True); d = T.Dict(); u = T.Union([T.Int(), T.Unicode()]); e = T.Enum(["x", "y"], "x"); f = T.Float(allow_none=True); b = T.Bool(); t = T.Tuple(T.Int(), T.Unicode()); st = T.Set(); inst = T.Instance(dict, ()); k = T.Type("builtins.int"); ce = T.CaselessStrEnum(["A"]); tcp = T.TCPAddress(); cb = T.CBool()
    @T.default("f")
    def _f(self): return 2.5
    @T.observe("i", "s")
    def _seen(self, c): print("change", c.name, c.old, c.new)
    @T.validate("s")
    def _ok(self, p): return p.value.upper()
c = C()
for n, v in (("i", 3), ("i", 12), ("i", "x"), ("s", "q"), ("l", [1, 2]), ("l", ["x"]), ("u", "z"), ("u", 1.5), ("e", "z"), ("f", None), ("b", 1), ("t", (1, "a")), ("t", (1,)), ("st", {1}), ("inst", 3), ("k", "builtins.str"), ("ce", "a"), ("tcp", ("h", 99999)), ("d", {1: 2}), ("cb", "x")):
    try: setattr(c, n, v); print(n, getattr(c, n))
    except Exception as e: print(type(e).__name__, e)
print(c.trait_names(), c.trait_values(), c.class_get_help(), C.class_config_section(), C.class_traits(config=True).keys(), c.has_trait("i"), c.trait_defaults())
class A(Application):
    classes = [C]; aliases = {"i": "C.i", ("l", "long"): "C.l"}; flags = {"q": ({"C": {"s": "quiet"}}, "be quiet")}; name = "app"; description = "d"
    def start(self): print(C(parent=self).i, C(parent=self).s, C(parent=self).l, self.extra_args, self.config)
for a in (["--i=4", "--q", "pos"], ["--C.l=1", "--C.l=2"], ["-l", "5", "--C.s=z"]):
    x = A(); x.parse_command_line(a); x.start(); print(x.generate_config_file()[:300])
m = Config({"A": {"b": 1}}); m.A.c.append(2); m.merge(Config({"A": {"d": 3}})); print(m, m.A.b, "A" in m); a, b = C(), C(); T.link((a, "i"), (b, "i")); a.i = 7; print(b.i); T.dlink((a, "s"), (b, "s"), str); a.s = "w"; print(b.s)
""",
    "nbformat": """
import nbformat, json
from nbformat.v4 import new_notebook, new_code_cell, new_markdown_cell, new_output, new_raw_cell
nb = new_notebook(cells=[new_markdown_cell("# t", id="a"), new_code_cell("1\\n2", id="b", outputs=[new_output("stream", text="x\\ny"), new_output("execute_result", {"text/plain": "3", "image/png": "aa"}, execution_count=1), new_output("error", ename="E", evalue="v", traceback=["t"])]), new_raw_cell("r", id="c")])
text = nbformat.writes(nb); print(text, nbformat.reads(text, 4) == nb, nbformat.validate(nb), nbformat.convert(nb, 3), nbformat.convert(nbformat.convert(nb, 3), 4).cells[1].outputs)
for bad in ({"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, {"nbformat": 2, "worksheets": [{"cells": [{"cell_type": "code", "input": "a", "outputs": []}]}], "metadata": {}}, {"x": 1}):
    try: print(nbformat.validator.isvalid(bad), nbformat.validator.get_validator(4), [str(e)[:90] for e in nbformat.validator.iter_validate(bad)]); print(nbformat.reads(json.dumps(bad), 4))
    except Exception as e: print(type(e).__name__, str(e)[:200])
nb.cells[0].id = "b";
try: print(nbformat.validator.normalize(nb)[0]); nbformat.validate(nb)
except Exception as e: print(type(e).__name__, str(e)[:100])
""",
}
"""Source by the import name of a package."""
