"""Plain data as YAML that reads back as exactly the same data, here and with any other YAML reader."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from dlcourse.config.reader import Refused, parse_scalar


def dump(data: Mapping[str, Any], width: int = 100) -> str:
    """YAML of a config: lists and mappings in one line where they fit, keys in order, every float to its last bit."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


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
