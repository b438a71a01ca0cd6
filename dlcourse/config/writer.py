"""Plain data as YAML that reads back as exactly the same data, here and with any other YAML reader."""

import enum
import math
import re
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import yaml

from dlcourse.characters import encodable, visible
from dlcourse.config.reader import Refused, parse_scalar
from dlcourse.errors import ConfigError, Problem

__all__ = ["dump", "plain"]


def dump(data: Mapping[str, Any], width: int = 100) -> str:
    """YAML of a config: lists and mappings in one line where they fit, keys in order, every float to its last bit."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def plain(value: Any, path: str = "") -> Any:
    """A value from Python as YAML would hold it: tuples as lists, NumPy's numbers as Python's, paths as text.

    Args:
        value: what to convert.
        path: where it is going, for messages.

    Raises:
        ConfigError: a value that no config holds, such as an infinite number.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value, path)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError([Problem(path, f"{value} is not a finite number")])
    if isinstance(value, str) and not encodable(value):
        raise ConfigError([Problem(path, f"{visible(value)!r} is not text: it holds what UTF-8 cannot encode")])
    for base in (int, float, str):  # Subclasses, such as NumPy's float64, as what they are made of.
        if isinstance(value, base):
            return base(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}.{i}".lstrip(".")) for i, item in enumerate(value)]
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):  # An array or a number of NumPy's.
        return plain(value.tolist(), path)
    raise ConfigError(
        [Problem(path, f"a config holds numbers, text, true, false, null, lists and mappings, not {value!r}")]
    )


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper, which also quotes what our reader, unlike PyYAML, takes for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent(self, data: Any) -> None:
        node: Any = self.represent_data(data)
        node.flow_style = False
        for _, section in node.value:
            _lay_out(section, self.best_width)
        self.serialize(node)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag = super().resolve(kind, value, implicit)
        if kind is yaml.ScalarNode and tag == _STR and implicit[0] and _reads_as_other(value):
            return "ambiguous"
        return tag


_UNSAFE = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_STR = "tag:yaml.org,2002:str"


def _lay_out(node: Any, width: int) -> int:
    """Write what fits into a line in a line, the rest line by line; returns the length of the one line."""
    if isinstance(node, yaml.ScalarNode):
        return len(node.value) + 4
    parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    length = 2 + sum([_lay_out(part, width) for part in parts])
    node.flow_style = length <= width
    return length


def _reads_as_other(text: str) -> bool:
    try:
        return not isinstance(parse_scalar(text), str)
    except Refused:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Double quotes escape what other styles would fold, such as line ends and U+0085.
    style = '"' if _UNSAFE.search(text) else None
    return dumper.represent_scalar(_STR, text, style=style)


_Dumper.add_representer(str, _text)
