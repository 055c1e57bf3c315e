"""The tests of the project of ``famulus bench review --part speed``: the rules that run code need some to run."""

from __future__ import annotations

from collections.abc import Mapping

TESTS: Mapping[str, str] = {
    "tests/test_click.py": '''\
import click
import pytest
from click.testing import CliRunner
from click.types import IntRange


@click.group()
def tool():
    """A tool."""


@tool.command()
@click.argument("names", nargs=-1)
@click.option("--count", type=IntRange(1, 5), default=1)
@click.option("--size", type=click.Choice(["small", "large"]), default="small")
def greet(names, count, size):
    """Greets everybody, as often as it is told to, in letters of a size."""
    for name in names:
        click.echo(f"{size} {name} " * count)


@pytest.mark.parametrize("count", range(1, 6))
def test_options_are_read(count):
    result = CliRunner().invoke(tool, ["greet", "--count", str(count), "Ada", "Alan"])
    assert result.exit_code == 0
    assert result.output.count("Ada") == count


@pytest.mark.parametrize("given", ["0", "6", "many"])
def test_a_wrong_number_is_refused(given):
    assert CliRunner().invoke(tool, ["greet", "--count", given, "Ada"]).exit_code == 2


def test_help_names_the_commands():
    assert "greet" in CliRunner().invoke(tool, ["--help"]).output
    assert "everybody" in CliRunner().invoke(tool, ["greet", "--help"]).output


@pytest.mark.parametrize("value,expected", [("1", 1), (" 7", 7), ("-3", -3)])
def test_numbers_are_converted(value, expected):
    assert click.INT.convert(value, None, None) == expected


def test_a_choice_is_one_of_its_values():
    assert click.Choice(["a", "b"]).convert("b", None, None) == "b"
    with pytest.raises(click.BadParameter):
        click.Choice(["a", "b"]).convert("c", None, None)
''',
    "tests/test_requests.py": """\
import pytest
import requests
from requests.cookies import RequestsCookieJar, cookiejar_from_dict
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict


def prepared(**given):
    request = requests.Request("GET", "https://example.org/a", **given)
    return requests.Session().prepare_request(request)


@pytest.mark.parametrize("given", [{"a": "1"}, {"a": ["1", "2"]}, [("a", "1")]])
def test_parameters_become_a_query(given):
    assert "a=1" in prepared(params=given).url


def test_json_is_sent_as_json():
    request = prepared(json={"a": 1})
    assert request.headers["Content-Type"] == "application/json"
    assert request.body == b'{"a": 1}'


def test_headers_do_not_look_at_case():
    headers = CaseInsensitiveDict({"Content-Length": "1"})
    assert headers["content-length"] == "1"
    assert prepared(headers={"X-One": "1"}).headers["x-one"] == "1"


def test_cookies_are_kept():
    jar = cookiejar_from_dict({"a": "1", "b": "2"})
    assert isinstance(jar, RequestsCookieJar)
    assert sorted(jar.keys()) == ["a", "b"]
    assert jar.get("a") == "1"
    assert jar.get_dict() == {"a": "1", "b": "2"}
    jar.set("c", "3", domain="example.org")
    assert "example.org" in jar.list_domains()


def test_a_bad_address_is_refused():
    with pytest.raises(requests.exceptions.RequestException):
        PreparedRequest().prepare(method="GET", url="no address")
""",
    "tests/test_rich.py": """\
import io

import pytest
from rich import filesize
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.layout import Layout
from rich.markdown import Markdown
from rich.palette import Palette
from rich.style import Style
from rich.table import Table
from rich.text import Text


def shown(thing, width=60):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(thing)
    return out.getvalue()


@pytest.mark.parametrize("width", [30, 60, 90])
def test_a_table_fits(width):
    table = Table("Name", "Number", title="Numbers")
    for number in range(20):
        table.add_row(f"name {number}", str(number))
    text = shown(table, width)
    assert "name 19" in text
    assert all(len(line) <= width for line in text.splitlines())


def test_markdown_is_rendered():
    text = shown(Markdown("# Title\\n\\n- one\\n- two\\n\\nSome `code`."))
    assert "Title" in text
    assert "one" in text


@pytest.mark.parametrize("text,cells", [("abc", 3), ("", 0), ("\\u4e2d\\u6587", 4)])
def test_cells_are_counted(text, cells):
    assert cell_len(text) == cells
    assert cell_len(set_cell_size(text, 10)) == 10


@pytest.mark.parametrize("given", ["bold", "bold red", "italic on blue", "not bold #ff0000"])
def test_a_style_is_read_and_written(given):
    assert str(Style.parse(given)) == given
    assert Style.parse(given) + Style.null() == Style.parse(given)


def test_styles_are_added():
    both = Style.parse("bold") + Style.parse("red")
    assert both.bold
    assert both.color.name == "red"


@pytest.mark.parametrize("size,text", [(1, "1 byte"), (10, "10 bytes"), (1000, "1.0 kB"), (1500000, "1.5 MB")])
def test_sizes_are_told(size, text):
    assert filesize.decimal(size) == text


def test_a_layout_has_parts():
    layout = Layout()
    layout.split_column(Layout(name="top"), Layout(name="below", ratio=2))
    assert layout["top"].name == "top"
    assert [child.name for child in layout.children] == ["top", "below"]
    assert "top" in shown(layout.tree)


def test_the_nearest_colour_is_found():
    assert Palette([(0, 0, 0), (250, 0, 0)]).match((255, 5, 5)) == 1


def test_text_is_wrapped():
    lines = Text("some words that do not fit on one line").wrap(Console(width=80), 12)
    assert len(lines) == 4
""",
    "tests/test_jinja2.py": """\
import pytest
from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.lexer import get_lexer
from jinja2.nativetypes import NativeEnvironment
from jinja2.utils import LRUCache, htmlsafe_json_dumps, urlize


@pytest.mark.parametrize(
    "template,expected",
    [
        ("{{ a + 1 }}", "3"),
        ("{% for x in range(a) %}{{ loop.index }}{% endfor %}", "12"),
        ("{% if a > 1 %}many{% else %}one{% endif %}", "many"),
        ("{{ 'ab' | upper }}", "AB"),
        ("{% set b = a * 2 %}{{ b }}", "4"),
        ("{# nothing #}{{ [1, 2] | join('-') }}", "1-2"),
    ],
)
def test_templates_are_rendered(template, expected):
    assert Environment().from_string(template).render(a=2) == expected


def test_what_is_missing_is_told():
    with pytest.raises(UndefinedError):
        Environment(undefined=StrictUndefined).from_string("{{ a }}").render()
    with pytest.raises(TemplateSyntaxError):
        Environment().from_string("{% if %}")


def test_native_values_stay():
    assert NativeEnvironment().from_string("{{ [1, a] }}").render(a=2) == [1, 2]


def test_tokens_are_told():
    tokens = get_lexer(Environment()).tokenize("{{ 1 + 2.5 }} text")
    assert [token.type for token in tokens][:4] == ["variable_begin", "integer", "add", "float"]


def test_the_cache_forgets_the_oldest():
    cache = LRUCache(2)
    cache["a"], cache["b"] = 1, 2
    assert cache["a"] == 1
    cache["c"] = 3
    assert "b" not in cache
    assert len(cache) == 2


def test_addresses_become_links():
    assert "href" in urlize("see https://example.org/ for more")
    assert htmlsafe_json_dumps("<b>") == '"\\\\u003cb\\\\u003e"'
""",
    "tests/test_httpx.py": """\
import httpx
import pytest


@pytest.mark.parametrize("path", ["/", "/a/b", "/a%20b"])
def test_an_address_has_parts(path):
    url = httpx.URL(f"https://user@example.org:8080{path}?x=1#end")
    assert url.host == "example.org"
    assert url.port == 8080
    assert url.params["x"] == "1"
    assert url.fragment == "end"
    assert url.raw_path.decode().startswith(path)


def test_parameters_are_merged():
    params = httpx.QueryParams("a=1&a=2&b=3")
    assert params.get_list("a") == ["1", "2"]
    assert str(params.set("b", "4").remove("a")) == "b=4"
    assert "a" in params


def test_a_client_asks_and_reads():
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"path": request.url.path}))
    with httpx.Client(transport=transport, base_url="https://example.org") as client:
        assert client.get("/a").json() == {"path": "/a"}


def test_addresses_are_joined():
    assert str(httpx.URL("https://example.org/a/").join("b")) == "https://example.org/a/b"
""",
}
"""By path; they pass with the sources of the packages as they are installed."""
