"""The JSON Schema says what the checks say."""

import json
from typing import Any

import pytest

from dlcourse import config, registry
from dlcourse.errors import ConfigError
from dlcourse.resources import configs_folder

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def validator(components: None) -> Any:
    schema = config.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_accepts_what_is_right(validator: Any, given: dict[str, Any]) -> None:
    validator.validate(given)
    validator.validate(config.from_mapping(given).data)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("sed", 0),
        ("seed", "1"),
        ("seed", True),
        ("name", "../x"),
        ("device", "gpu"),
        ("data", {"name": "t_cloud", "smaples": 3}),
        ("data", {"name": "t_cloud", "center": [1]}),
        ("data", {"name": "t_cloud", "split": {"tst": 3}}),
        ("model", "t_net"),
        ("model", {"name": "t_net", "hidden": [0]}),
        ("loss", "t_cst"),
        ("optimizer", {"name": "t_descent", "lr": 0}),
        ("optimizer", {"name": "t_descent", "lr": 1, "schedule": {"name": "t_ramp", "warmup": -1}}),
        ("train", {"batch_size": "ful"}),
        ("train", {"early_stopping": {"metric": "loss"}}),
        ("metrics", [{"name": "t_distance", "order": 0}]),
        ("sweep", {"random": {"samples": 3, "space": {"seed": {"low": 3}}}}),
    ],
)
def test_refuses_what_the_checks_refuse(validator: Any, given: dict[str, Any], section: str, value: Any) -> None:
    wrong = given | {section: value}
    with pytest.raises(ConfigError):
        config.from_mapping(wrong)
    assert not validator.is_valid(wrong)


def test_describes_every_key_and_component(validator: Any) -> None:
    schema = validator.schema
    net = schema["$defs"]["model.t_net"]
    assert net["description"] == "A net"
    width = {"type": "integer", "minimum": 1, "maximum": 10**12}
    assert net["properties"]["hidden"] == {
        "anyOf": [{"type": "array", "items": width}, width],
        "description": "widths of its layers.",
    }
    assert net["properties"]["dropout"]["default"] == 0.0
    assert net["required"] == ["name", "hidden"]
    assert schema["$defs"]["TrainOptions"]["properties"]["clip_norm"]["description"].startswith("scale the gradient")
    for kind in registry.KINDS:
        for name in registry.names(kind):
            assert f"{kind}.{name}" in schema["$defs"]


def test_one_number_where_a_list_goes(validator: Any, given: dict[str, Any]) -> None:
    right = given | {"model": {"name": "t_net", "hidden": 8}}
    validator.validate(right)
    assert config.from_mapping(right).data["model"]["hidden"] == [8]


def test_an_editor_is_offered_every_component(validator: Any) -> None:
    choice = validator.schema["$defs"]["model"]
    assert choice["properties"]["name"]["enum"] == registry.names("model")
    bare, needy = choice["anyOf"][0]["enum"], [snippet["label"] for snippet in choice["defaultSnippets"]]
    assert sorted([*bare, *needy]) == registry.names("model")
    assert {"label": "t_net", "body": {"name": "t_net", "hidden": "$1"}} in choice["defaultSnippets"]


def test_a_range_is_described_key_by_key(validator: Any) -> None:
    found = validator.schema["$defs"]["RandomSearch.Range"]
    assert found["description"] == "A range to draw from"
    assert {key: value["description"] for key, value in found["properties"].items()}["low"] == "lower end."


def test_every_reference_leads_somewhere(validator: Any) -> None:
    text = json.dumps(validator.schema)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(validator.schema["$defs"])
    assert "x-component" not in text


def test_accepts_the_courses_configs(validator: Any) -> None:
    paths = config.shipped()
    assert len(paths) >= 10
    for path in paths:
        loaded = config.load(configs_folder() / path)
        validator.validate(loaded.given)
        validator.validate(loaded.data)
