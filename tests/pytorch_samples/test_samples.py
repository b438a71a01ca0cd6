"""Every sample that PyTorch ships for what we have too: equal or clearly refused, never wrong.

``python -m tests.pytorch_samples [WORD ...]`` prints what comes of each name, and why something is refused.
"""

import pytest

import dlcourse as dl
from dlcourse import functional, nn, optim
from dlcourse.autograd import Tensor
from tests.pytorch_samples import modules, operators, optimizers, source
from tests.pytorch_samples.compare import Tally
from tests.pytorch_samples.mapping import (
    ACTIVATION_LAYERS,
    ACTIVATIONS,
    INCOMPARABLE,
    MODULES,
    OPERATORS,
    OPTIMIZERS,
)

EQUAL_AT_LEAST = {"operators": 4684, "modules": 715, "optimizers": 70}
"""So many samples were equal when something was last added: that coverage does not fall silently."""

TABLES = {
    "operators": (OPERATORS, operators.tally, "op_db", lambda info: info.full_name),
    "modules": (MODULES, modules.tally, "module_db", lambda info: info.name),
    "optimizers": (OPTIMIZERS, optimizers.tally, "optim_db", lambda info: info.optim_cls.__name__),
}


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, entry in TABLES.items() for name in entry[0]])
def test_no_sample_is_wrong(table: str, name: str) -> None:
    _, tally, source_name, type_suffix = TABLES[table]
    known = name in map(type_suffix, source.table(source_name))
    if not known and name in {*ACTIVATIONS, *ACTIVATION_LAYERS}:
        pytest.skip("PyTorch has no such activation")
    assert known, "PyTorch has no samples under this name"
    wrong = tally(name).wrong
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong)


@pytest.mark.parametrize("table", TABLES)
def test_as_many_are_equal_as_were(table: str, record_property) -> None:
    names, tally, source_name, type_suffix = TABLES[table]
    theirs = set(map(type_suffix, source.table(source_name)))
    total = Tally()
    for name in theirs.intersection(names):
        total.add(tally(name))
    record_property(f"pytorch_{table}", f"{total.line()}; {len(names)} of PyTorch's {len(theirs)} {table} are offered")
    assert total.counts["equal"] >= EQUAL_AT_LEAST[table]


def test_what_has_pytorchs_name_is_in_the_mapping() -> None:
    """A function, method, module or optimizer that bears the name of one of PyTorch's is compared with it."""
    same = {i.full_name for i in source.table("op_db") if _ours_has(*i.name.rpartition(".")[::2])}
    same |= {i.name for i in source.table("module_db") if hasattr(nn, i.name.removeprefix("nn."))}
    same |= {i.optim_cls.__name__ for i in source.table("optim_db") if hasattr(optim, i.optim_cls.__name__)}
    forgotten = same - {*OPERATORS, *MODULES, *OPTIMIZERS, *INCOMPARABLE}
    assert not forgotten, f"names without a line in tests/pytorch_samples/mapping.py: {sorted(forgotten)}"


def _ours_has(home: str, name: str) -> bool:
    if home == "linalg":
        return hasattr(dl.linalg, name)
    return home in ("", "nn.functional") and (
        hasattr(functional, name) or (not home and (hasattr(Tensor, name) or name in dl.__all__))
    )
