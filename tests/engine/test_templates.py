"""Chat templates render as their models were trained, and a hostile one does no harm; fill formats are found."""

from __future__ import annotations

import resource
import time

import pytest

from famulus.engine.errors import BadWeights, InvalidRequest
from famulus.engine.protocol import Message
from famulus.engine.templates import MAX_TEMPLATE, PREFIX, SUFFIX, ChatTemplate, FillFormat
from famulus.engine.text import Tokenizer

HI = [Message("user", "Hi")]
GROW = "{% set ns = namespace(x=START) %}{% for i in range(99) %}{% set ns.x = STEP %}{% endfor %}"
SHARE = GROW.replace("START", "['a']").replace("STEP", "[ns.x, ns.x]")
HOSTILE = {
    "a huge range": "{% for i in range(10**9) %}x{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "nested loops that hide the budget": "{% set budget = 1 %}{% for i in range(99999) %}{% for j in range(99999) %}"
    "{% endfor %}{% endfor %}",
    "nested loops without a call": "{% set s = 'x' * 99999 %}{% for a in s %}{% for b in s %}{% endfor %}{% endfor %}",
    "endless recursion": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "a recursive loop": "{% for c in 'x' * 9000000 recursive %}{{ loop(['a']) }}{% endfor %}",
    "a long text by *": "{{ 'a' * 10**10 }}",
    "a long list by *": "{{ ([1] * 10**10) | length }}",
    "doubling by ~": GROW.replace("START", "'aa'").replace("STEP", "ns.x ~ ns.x"),
    "doubling by +": GROW.replace("START", "'aa'").replace("STEP", "ns.x + ns.x"),
    "doubling by sharing": SHARE + "{{ ns.x }}",
    "doubling by sharing, as JSON": SHARE + "{{ ns.x | tojson }}",
    "squaring": GROW.replace("START", "9").replace("STEP", "ns.x * ns.x"),
    "a tower of powers": "{{ 10 ** 10 ** 10 }}",
    "a wide format": "{{ '%1000000000d' % 1 }}",
    "a wide format by argument": "{{ '%*d' % (1000000000, 1) }}",
    "a wide str.format": "{{ '{:1000000000}'.format(1) }}",
    "a wide method": "{{ 'a'.center(10**9) }}",
    "a wide filter": "{{ 'a' | indent(10**9) }}",
    "a long replace": "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
    "a long replace filter": "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}",
    "a long join": "{{ (['a' * 1000000] * 100000) | join('') }}",
    "a long join by separator": "{{ ('a' * 1000000).join(['b'] * 1000000) }}",
    "much output": "{% for i in range(90000) %}{{ 'a' * 10000 }}{% endfor %}",
    "deep nesting": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "a way out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a way out through a format": "{{ '{0.__class__.__mro__}'.format('') | length * 10**20 * 'a' }}",
    "a change of its input": "{{ messages.append(1) }}",
    "no syntax": "{% for",
    "an unknown filter": "{{ 1 | foo }}",
    "an include": "{% include 'x' %}",
}  # fmt: skip


def test_the_embedded_models_template(embedded_metadata: dict[str, object]) -> None:
    template = ChatTemplate(str(embedded_metadata["tokenizer.chat_template"]), "<|im_start|>", "<|im_end|>")
    assert template.render([Message("system", "Be brief."), Message("user", "Hi")], answer_prefix="Sure") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nSure"
    )
    assert "named SmolLM" in template.render(HI)


def test_it_renders_as_transformers_does() -> None:
    transformers = pytest.importorskip("transformers.utils.chat_template_utils")
    source = """
    {%- if tools %}
        {{- "<|im_start|>system\\n" + (messages[0].content if messages[0].role == 'system' else 'x') }}
        {%- for tool in tools %}{{- "\\n" ~ (tool | tojson) }}{% endfor %}
    {%- endif %}
    {%- set ns = namespace(last=messages|length - 1) %}
    {% for message in messages[::-1] %}
        {%- if loop.index0 > 5 %}{% break %}{% endif %}
        {%- if message.tool_calls is defined %}{{ message.tool_calls | tojson(indent=2) }}{% endif %}
        {%- generation %}{{ message['content'] | trim | replace('a', 'b') | upper }}{% endgeneration %}
    {% endfor %}
    {{ bos_token ~ messages | map(attribute='role') | join(',') }}{{ "%s-%d" % ('q', 7) }}{{ 'x,y'.split(',')[1] }}
    {%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""
    call = [{"function": {"name": "f", "arguments": {"é": "<b>"}}}]
    messages = [
        Message("system", " sä "),
        Message("user", "a\nb  "),
        Message("assistant", None, tool_calls=call),
        Message("tool", "{}", tool_call_id="1"),
    ]
    plain = [
        {"role": "system", "content": " sä "},
        {"role": "user", "content": "a\nb  "},
        {"role": "assistant", "content": None, "tool_calls": call},
        {"role": "tool", "content": "{}", "tool_call_id": "1"},
    ]
    source = source.replace("message['content'] | trim", "(message['content'] or '') | trim")
    tools = [{"type": "function", "function": {"name": "f", "description": "it's <é>"}}]
    expected, _ = transformers.render_jinja_template(
        conversations=[plain], tools=tools, chat_template=source, add_generation_prompt=True, bos_token="<s>"
    )
    assert ChatTemplate(source, "<s>", "</s>").render(messages, tools) == expected[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_in_an_error_quickly_and_small(name: str) -> None:
    start, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((BadWeights, InvalidRequest)) as error:
        ChatTemplate(HOSTILE[name]).render(HI)
    assert time.process_time() - start < 10, "bounded by two seconds, with fivefold slack"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300 << 10, "KiB"
    assert str(error.value).count("\n") == 0


def test_a_template_that_is_too_long_is_not_compiled() -> None:
    with pytest.raises(BadWeights, match="longer than"):
        ChatTemplate("a" * (MAX_TEMPLATE + 1)).render(HI)


def test_what_the_template_refuses_is_told() -> None:
    template = ChatTemplate("{{ raise_exception('Only user and assistant roles are supported!') }}")
    with pytest.raises(InvalidRequest, match="refuses this conversation: Only user and assistant"):
        template.render(HI)


def test_a_conversation_that_breaks_the_template_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="cannot render"):
        ChatTemplate("{% for m in messages %}{{ 'a' + m.content }}{% endfor %}").render([Message("assistant", None)])


def test_a_long_conversation_renders() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.role ~ ': ' ~ m.content | trim + '\n' }}{% endfor %}")
    messages = [Message("user", "x" * 2000)] * 1000
    assert len(template.render(messages)) == 1000 * 2007


FAMILIES = {
    "Qwen2.5-Coder": (
        ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"],
        ("<|fim_prefix|>", PREFIX, "<|fim_suffix|>", SUFFIX, "<|fim_middle|>"),
        ("<|repo_name|>", "<|file_sep|>"),
    ),
    "CodeGemma": (
        ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_separator|>"],
        ("<|fim_prefix|>", PREFIX, "<|fim_suffix|>", SUFFIX, "<|fim_middle|>"),
        ("", ""),
    ),
    "StarCoder2": (
        ["<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>", "<file_sep>"],
        ("<fim_prefix>", "<fim_suffix>", SUFFIX, "<fim_middle>", PREFIX),
        ("<repo_name>", "<file_sep>"),
    ),
    "Granite Code": (
        ["<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<reponame>", "<filename>"],
        ("<fim_prefix>", "<fim_suffix>", SUFFIX, "<fim_middle>", PREFIX),
        ("", ""),
    ),
    "DeepSeek-Coder": (
        ["<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"],
        ("<｜fim▁begin｜>", PREFIX, "<｜fim▁hole｜>", SUFFIX, "<｜fim▁end｜>"),
        ("", ""),
    ),
    "Code Llama": (
        ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"],
        ("▁<PRE>", "▁<SUF>", SUFFIX, "▁<MID>", PREFIX),
        ("", ""),
    ),
    "Codestral": (["[PREFIX]", "[SUFFIX]", "[MIDDLE]"], ("[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX), ("", "")),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("special", [True, False])
def test_fill_formats_are_read_from_the_tokenizer(make_tokenizer, family: str, special: bool) -> None:  # type: ignore[no-untyped-def]
    names, parts, files = FAMILIES[family]
    tokenizer: Tokenizer = make_tokenizer(dict.fromkeys(["<|endoftext|>", *names], special))
    form = FillFormat.detect(tokenizer)
    assert form is not None
    assert form.parts == parts
    assert (form.repository, form.file) == files
    assert set(form.stops) == set(names), "a model that goes on with the next file has ended"
    for name in names:
        assert tokenizer.special_id(name) not in tokenizer.encode(f"x {name} y"), "typed marks are plain text"
        assert tokenizer.special_id(name) in tokenizer.special_ids, "marks are never shown"


def test_the_catalog_settles_what_tokens_cannot_say(make_tokenizer) -> None:  # type: ignore[no-untyped-def]
    tokenizer: Tokenizer = make_tokenizer(dict.fromkeys(FAMILIES["StarCoder2"][0], True))
    assert FillFormat.detect(tokenizer, {"fill": "none"}) is None
    form = FillFormat.detect(tokenizer, {"fill": "psm"})
    assert form is not None
    assert form.parts[1] == PREFIX


def test_a_model_without_marks_has_no_fill_format(embedded: Tokenizer, make_tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert FillFormat.detect(embedded) is None
    assert FillFormat.detect(make_tokenizer({"<fim_prefix>": True, "<fim_suffix>": True})) is None
