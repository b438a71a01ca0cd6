"""What a CPU computes for the parts `parity` and `configs`, kept in a file, since a GPU's time is short.

Each entry goes by what it was computed from: one that does not fit is computed anew where the parts run. Whether the
code still gives these numbers is tested where there is no GPU. `scripts/gpu_check --reference` writes the file.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("reference.json")


def saved(kind: str, sources: dict[str, str], file: Path = FILE) -> dict[str, Any]:
    """The entries of a kind ("parity", "configs"), by name, that were computed from these sources."""
    entries = json.loads(file.read_text()).get(kind, {}) if file.exists() else {}
    fitting = {name: entries[name] for name, source in sources.items() if name in entries}
    return {name: entry["found"] for name, entry in fitting.items() if entry["of"] == digest(sources[name])}


def keep(kind: str, sources: dict[str, str], found: dict[str, Any], file: Path = FILE) -> None:
    """Write the entries of a kind in place of those that are there."""
    known = json.loads(file.read_text()) if file.exists() else {}
    known[kind] = {name: {"of": digest(sources[name]), "found": found[name]} for name in sorted(found)}
    file.write_text(
        "{\n" + ",\n".join(f"{json.dumps(each)}: {_lines(known[each])}" for each in sorted(known)) + "\n}\n"
    )


def _lines(entries: dict[str, Any]) -> str:
    """JSON with a line for each entry, so that what has changed shows in a diff."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()) + "\n}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
