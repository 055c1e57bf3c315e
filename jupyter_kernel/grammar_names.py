"""What the grammar of a cell knows besides the live names: built-in functions, modules, keywords, usual texts.

Modules are those for which an import is added by program (:func:`famulus.jupyter_kernel.finish.with_imports`).
"""

from __future__ import annotations

BUILTINS = (
    "abs", "all", "any", "bool", "dict", "enumerate", "filter", "float", "int", "len", "list", "map", "max", "min",
    "print", "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip", "Path", "Counter",
)  # fmt: skip

MODULES = {
    "pd": ("DataFrame", "Series", "Timestamp", "Timedelta", "concat", "crosstab", "cut", "date_range", "merge",
           "pivot_table", "qcut", "read_csv", "read_excel", "read_json", "to_datetime", "to_numeric"),
    "np": ("abs", "arange", "argmax", "argmin", "array", "column_stack", "concatenate", "corrcoef", "cos", "cumsum",
           "diff", "dot", "exp", "linspace", "log", "max", "mean", "median", "min", "ones", "percentile", "polyfit",
           "sin", "sort", "sqrt", "std", "sum", "unique", "where", "zeros"),
    "plt": ("bar", "barh", "boxplot", "figure", "grid", "hist", "legend", "pie", "plot", "scatter", "subplots",
            "title", "xlabel", "ylabel", "savefig"),
    "math": ("ceil", "cos", "exp", "factorial", "floor", "gcd", "hypot", "log", "log10", "pi", "prod", "sin", "sqrt"),
    "statistics": ("mean", "median", "mode", "pstdev", "stdev", "variance"),
    "re": ("findall", "match", "search", "split", "sub"),
    "json": ("dumps", "loads"),
    "collections": ("Counter", "OrderedDict", "defaultdict"),
    "datetime": ("date", "datetime", "timedelta"),
    "itertools": ("accumulate", "chain", "combinations", "groupby", "permutations", "product"),
}  # fmt: skip
"""What is mostly wanted of them, by the name that code uses."""

MEMBERS = (
    "agg", "ngroups", "get_group", "year", "month", "day", "hour", "minute", "second", "weekday", "dayofweek",
    "day_name", "month_name", "quarter", "date", "days", "total_seconds", "strftime", "contains", "startswith",
    "endswith", "lower", "upper", "strip", "split", "replace", "len", "extract", "get", "cat", "codes", "categories",
    "str", "dt", "values", "index", "tolist", "to_frame", "reset_index", "set_title", "set_xlabel", "set_ylabel",
    "most_common", "read_text", "write_text", "exists", "name", "stem", "suffix", "glob", "rglob", "iterdir", "stat",
    "st_size", "is_file", "is_dir",
)  # fmt: skip
"""Attributes of what calls return: groups, accessors, axes, paths."""

REFUSED = frozenset(("eval", "exec", "pipe", "query", "to_pickle", "to_clipboard", "to_sql", "clear"))
"""Attributes that write, or take code as text."""

KEYWORDS = (
    "aggfunc", "alpha", "as_index", "ascending", "axis", "bins", "by", "c", "color", "columns", "decimals", "default",
    "dropna", "encoding", "errors", "figsize", "fill_value", "format", "freq", "how", "index", "key", "keep", "kind",
    "label", "left_on", "legend", "marker", "n", "na_rep", "normalize", "on", "periods", "reverse", "right_on", "sep",
    "start", "subset", "title", "values", "window", "x", "y",
)  # fmt: skip
"""``inplace`` is not among them: what exists is changed only by an assignment that can be seen."""

STRINGS = (
    " ", ", ", ",", ";", "-", "_", ":", "\n", "mean", "sum", "count", "min", "max", "median", "std", "size", "first",
    "last", "left", "right", "inner", "outer", "coerce", "bar", "barh", "line", "hist", "pie", "scatter", "box", "D",
    "W", "M", "ME", "Y", "YE", "h", "utf-8", "r", "w", "%Y-%m-%d", "%Y-%m", "%Y", "int", "float", "str",
)  # fmt: skip

OPERATORS = (
    "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">", "<=", ">=", "&", "|", "and", "or", "in", "not in",
)  # fmt: skip
