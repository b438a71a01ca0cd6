"""Components by kind and name; plugins; and that every component's signature is a schema with words to it."""

import sys
from pathlib import Path
from typing import Any

import pytest

from dlcourse import config, plugins, registry
from dlcourse.errors import UserError
from dlcourse.models import Model
from dlcourse.registry import KINDS, UnknownComponentError, build, lookup, nearest, register
from dlcourse.types import Count


class Thing(Model):
    """A thing."""

    def __init__(
        self,
        in_shape: tuple[int, ...],
        sizes: tuple[Count, ...],
        pairs: list[tuple[float, float]] | None = None,
        either: tuple[int, int] | str = "none",
        plain: list[int] | None = None,
    ):
        self.got = {"in_shape": in_shape, "sizes": sizes, "pairs": pairs, "either": either, "plain": plain}


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    for kind in KINDS:
        registry.names(kind)
        monkeypatch.setitem(registry.registered, kind, dict(registry.registered[kind]))


def test_register_and_look_up() -> None:
    assert register("model", "thing")(Thing) is Thing
    assert lookup("model", "thing") is Thing
    assert "thing" in registry.names("model")
    assert [parameter.name for parameter in registry.parameters("model", "thing")] == [
        "sizes",
        "pairs",
        "either",
        "plain",
    ]


def test_registering_again() -> None:
    register("model", "thing")(Thing)
    reloaded = type("Thing", (), {"__module__": Thing.__module__, "__qualname__": "Thing"})
    register("model", "thing")(reloaded)
    assert lookup("model", "thing") is reloaded
    with pytest.raises(UserError, match=r"model 'thing' is registered twice: .*Thing and .*Other; rename one"):
        register("model", "thing")(type("Other", (), {}))
    with pytest.raises(ValueError, match="no kind of component 'modl'; the kinds are data, model, "):
        register("modl", "thing")


def test_unknown_names() -> None:
    register("model", "thing")(Thing)
    with pytest.raises(UnknownComponentError, match=r"no model 'thng' \(did you mean 'thing'\?\); there are: .*thing"):
        lookup("model", "thng")
    with pytest.raises(UnknownComponentError, match=r"no kind of component 'modell' \(did you mean 'model'\?\)"):
        lookup("modell", "thing")
    assert UnknownComponentError.exit_code == 2


@pytest.mark.parametrize(
    ("word", "expected"),
    [("rellu", "relu"), ("RELU", "relu"), ("least", "least_squares"), ("zzz", None), ("", None), ("le", None)],
)
def test_nearest(word: str, expected: str | None) -> None:
    assert nearest(word, ["relu", "tanh", "least_squares"]) == expected


def test_build() -> None:
    register("model", "thing")(Thing)
    spec = {"name": "thing", "sizes": [1, 2], "pairs": [[1.0, 2.0]], "either": [3, 4], "plain": [5]}
    assert build("model", spec, in_shape=(7,), out_features=2).got == {
        "in_shape": (7,),
        "sizes": (1, 2),
        "pairs": [(1.0, 2.0)],
        "either": (3, 4),
        "plain": [5],
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "thing"}, "model 'thing' needs sizes"),
        (
            {"name": "thing", "sizes": [], "pears": 1},
            r"has no parameter 'pears' \(did you mean 'pairs'\?\); it has: sizes",
        ),
        ({"name": "thing", "sizes": [], "in_shape": (1,)}, "has no parameter 'in_shape'"),
        ({"sizes": []}, "a model needs a name"),
    ],
)
def test_build_refuses(spec: dict[str, Any], message: str) -> None:
    register("model", "thing")(Thing)
    with pytest.raises(UserError, match=message):
        build("model", spec, in_shape=(1,))


def test_own_parameters() -> None:
    register("model", "thing")(Thing)
    assert registry.own_parameters("model", {"name": "thing", "sizes": [1], "shared": 3}) == {
        "name": "thing",
        "sizes": [1],
    }


# --- plugins ----------------------------------------------------------------------------------------------------------

PLUGIN = """\
from dlcourse.registry import register
from dlcourse.models import Model
@register("model", "own_model")
class Own(Model):
    '''A model of one's own.'''

    def __init__(self, in_shape, out_features, depth: int = 3):
        self.depth = depth
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    path = tmp_path / "my plugin.py"
    path.write_text(PLUGIN)
    return path


def test_a_plugin_is_a_component_like_any_other(plugin: Path) -> None:
    module = plugins.load(plugin)
    assert plugins.load(str(plugin)) is module, "it is imported once"
    assert lookup("model", "own_model").__doc__ == "A model of one's own."
    assert build("model", {"name": "own_model", "depth": 5}, in_shape=(1,), out_features=1).depth == 5
    with pytest.raises(UserError, match="did you mean 'depth'"):
        build("model", {"name": "own_model", "dept": 5}, in_shape=(1,), out_features=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("depth: int = 3", "depth=3"), "parameter 'depth' needs an annotation"),
        (("depth: int = 3", "**depth: int"), r"a config cannot give \*\*depth: int"),
        (("depth: int = 3", "depth: 'Nothing' = 3"), "name 'Nothing' is not defined"),
        (("self.depth", "(self.depth"), "line [78]: SyntaxError"),
        (("class Own", "1 / 0\nclass Own"), "line 3: SyntaxError|invalid syntax"),
        (("@register", "raise SystemExit(0)\n@register"), "line 3: SystemExit: 0"),
        (("@register", "1 / 0\n@register"), "line 3: ZeroDivisionError: division by zero"),
        (("from dlcourse", "from dlcurse"), "line 1: ModuleNotFoundError: No module named 'dlcurse'"),
        (('"model"', '"modl"'), "line 3: ValueError: no kind of component 'modl'"),
        (('"own_model"', '"linear"'), "model 'linear' is registered twice: dlcourse.models.linear"),
    ],
)
def test_plugins_that_are_wrong(plugin: Path, change: tuple[str, str], message: str) -> None:
    plugin.write_text(PLUGIN.replace(*change))
    with pytest.raises(UserError, match=message) as caught:
        plugins.load(plugin)
    assert str(caught.value).startswith(f"plugin {plugin}: ")
    assert "own_model" not in registry.names("model"), "nothing of it stays"
    plugin.write_text(PLUGIN)
    plugins.load(plugin)


def test_plugins_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        plugins.load(tmp_path / "none.py")
    with pytest.raises(UserError, match="no such file"):
        plugins.load(tmp_path)
    (tmp_path / "plugin.txt").write_text(PLUGIN)
    with pytest.raises(UserError, match="its name must end in .py"):
        plugins.load(tmp_path / "plugin.txt")


# --- all components that there are ------------------------------------------------------------------------------------

COMPONENTS = [(kind, name) for kind in KINDS for name in registry.names(kind)]


def test_every_kind_has_components() -> None:
    assert {kind for kind, _ in COMPONENTS} == set(KINDS)
    assert len(COMPONENTS) >= 40


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_a_signature_is_a_schema(kind: str, name: str) -> None:
    """Each parameter has a type that checks values, a default that its own type takes, and a description."""
    shape = config.component_schema(kind, name)
    assert shape.summary, "no docstring"
    for key in shape.keys.values():
        assert key.adapter is not None
        assert key.description, f"{key.name} is not described under Args:"
        if not key.required and key.options is None:
            key.validate(key.filled)


@pytest.mark.parametrize(
    ("word", "words", "found"),
    [
        ("batch_norm", ["clip_norm"], None),
        ("layer_norm", ["clip_norm", "batch_norm"], None),
        ("val_size", ["batch_size"], None),
        ("log_evry", ["eval_every", "log_every"], "log_every"),
        ("batchsize", ["batch_size", "epochs"], "batch_size"),
        ("batch_sizes", ["batch_size"], "batch_size"),
        ("clip_nrom", ["clip_norm"], "clip_norm"),
        ("weight_decya", ["weight_decay"], "weight_decay"),
        ("learning_rate", ["lr"], None),
        ("norm", ["clip_norm"], "clip_norm"),
        ("early", ["early_stopping"], "early_stopping"),
    ],
)
def test_a_shared_word_alone_makes_no_near_name(word: str, words: list[str], found: str | None) -> None:
    assert registry.nearest(word, words) == found
