"""The table of the frameworks' words names what is here."""

import re
from pathlib import Path

import pytest

import dlcourse as dl
from dlcourse import functional, nn, optim

TABLE = Path(dl.__file__).parents[1] / ".github" / "frameworks.md"


@pytest.mark.skipif(not TABLE.exists(), reason="the table is part of a clone only")
def test_the_names_in_the_last_column_are_there() -> None:
    rows = [line.split("|")[-2] for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    names = re.findall(r"`((?:dl|nn|optim|F)(?:\.\w+)+)", " ".join(rows))
    assert len(names) > 15
    homes = {"dl": dl, "nn": nn, "optim": optim, "F": functional}
    for name in names:
        first, *rest = name.split(".")
        found: object = homes[first]
        for part in rest:
            found = getattr(found, part)
