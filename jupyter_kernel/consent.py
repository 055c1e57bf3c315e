"""May the words mean that something that exists is changed? Without a word that says so, nothing is."""

from __future__ import annotations

import re

from famulus.jupyter_kernel.candidate import Want

_VERBS = (
    "add|adjust|append|apply|arrange|assign|attach|blank|break|bring|cache|cap|capitali[sz]e|carry"
    "|cast|change|clean|cleanse|clear|clip|combine|concat(?:enate)?|convert|copy|correct|create|cut"
    "|decrease|dedup(?:licate|e)?|delete|discard|divide|double|drop|edit|empty|encode|eliminate|erase"
    "|exchange|extend|extract|fill|fix|flag|flatten|flip|forget|format|freeze|get rid|halve|impute"
    "|increase|index|infer|insert|interpolate|join|keep|label|let|limit|lower|lowercase|make|map"
    "|mark|mask|memoi[sz]e|merge|mix|modify|move|multiply|name|negate|normali[sz]e|number|order"
    "|overwrite|pad|parse|pop|prefix|prepend|push|put|raise|randomi[sz]e|read|recode|reduce|reformat"
    "|relabel|remember|remove|rename|renumber|reorder|replace|rescale|reset|reshape|reverse|round"
    "|save|scale|separate|set|shift|shorten|shuffle|sort|split|square|standardi[sz]e|store|strip"
    "|substitute|subtract|suffix|swap|take|throw|tidy|titlecase|toggle|translate|transpose|treat|trim"
    "|truncate|turn|unify|update|uppercase|use|winsori[sz]e|wipe|write|zero"
)
_LEAD = (
    r"(?:(?:please|now|then|also|and|just|so|ok(?:ay)?|next|first|finally|again|instead|kindly|let's|let us|i want to"
    r"|i'd like to|i would like to|i need to|(?:can|could|would|will) you)\s+)*"
)
_BEGINS = re.compile(rf"^\W*{_LEAD}(?:{_VERBS})\b(?!\s+(?:of|in)\b)", re.IGNORECASE)
"""What an instruction, or one of its parts, begins with if it is an order to change something."""
_ANYWHERE = re.compile(
    r"\b(?:add|append|rename|replace|remove|delete|drop|convert|insert|overwrite|update|fill|set|make|multiply|swap)\b"
    r"(?!\s+of\b)",
    re.IGNORECASE,
)
"""Orders that may stand behind what they are about: *in df rename a to b*."""
_RESULTS = re.compile(
    r"\b(?:in ?place|should (?:be|become|have|come)|(?:do not|don't|no longer) need|into a column"
    r"|new (?:column|key|field)|as the (?:first|last) (?:row|column)|for (?:each|every) row)\b",
    re.IGNORECASE,
)
"""Said of what is there after a change and was not before."""
_NOUNS = re.compile(
    r"\b(?:the|a|an|this|that|each|every|any|no|of|largest|biggest|smallest|highest|steepest|first|last|next|random"
    r"|empty|unique|data|test|training|whole|full|(?:per)?cent)\s+$",
    re.IGNORECASE,
)
"""In front of a word, these make a thing of it: *the largest drop*, *a set*."""
_PARTS = re.compile(r"[,;:.，；：。、]\s*|\b(?:and then|then|and|but)\s+|然后|并且|并|接着|再", re.IGNORECASE)
_CHINESE = re.compile(
    r"^(?:请|帮我|现在|再)*(?:把|将|给|让|对.+(?:进行|做))"
    r"|设为|设成|设置|改成|改为|改名|更改|修改|换成|替换|变成|变为|转成|转为|转换|移到|移动到|移除|删|去掉|去除|去重|丢弃|清理|清空"
    r"|清除|规范|重置|重命名|命名为|重新(?:编号|排列|排序)|拆分|拆成|截断|限制|提高|降低|调整|乘以|除以|乘上|加上|减去|四舍五入"
    r"|保留|填充|填补|补全|插值|更新|扩展|追加|添加|增加|新增|插入|弹出|打乱|缓存|记忆化|视为|当作|映射|解析|作为索引|合并|拼接"
    r"|排序|反转|翻转|首字母大写|大写|小写|标记|归一化|标准化|不需要|前缀|后缀|赋值|取整|翻倍|减半|减少|不超过|加一[行列]|成为第"
    r"|推断|交换|新的?一?列|乘"
)


def changes(words: str, want: Want, taken: frozenset[str] = frozenset()) -> bool:
    """Whether the words ask to change something. Where they name a new result, they do not, unless the name is
    ``taken`` already: *remove duplicates from nums, call it uniq* leaves ``nums`` alone."""
    if want.name:
        return want.name in taken
    return asks(words)


def asks(words: str) -> bool:
    """Whether the words hold an order to change something: a verb that an instruction, or a part of it, begins with, or
    one that can only be an order. *The percentage change*, *values sorted by size* and *5 random rows* are none."""
    if _RESULTS.search(words) or _CHINESE.search(words) or any(_BEGINS.match(part) for part in _PARTS.split(words)):
        return True
    return any(not _NOUNS.search(words[: found.start()]) for found in _ANYWHERE.finditer(words))
