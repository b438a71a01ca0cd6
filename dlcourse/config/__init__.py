"""Configs: YAML with line numbers, checked against the constructors' signatures, with every default filled in.

config = load("configs/02_machine_learning/polynomial_overfitting.yaml", ["model.degree=5"])
config.data["model"]                       # {"name": "polynomial", "degree": 5, "basis": ...}
config.apply_overrides({"train.epochs": 2})
config.dump()                              # YAML that runs again as it is
"""

from dlcourse.config.config import Config, data_section, from_mapping, load, resolve
from dlcourse.config.labels import attack_label, attack_labels, metric_facts, metric_labels
from dlcourse.config.rules import choosing_metric
from dlcourse.config.schema import json_schema
from dlcourse.config.section_schema import component_schema, section_schema
from dlcourse.config.writer import dump
from dlcourse.resources import shipped

__all__ = [
    "Config",
    "attack_label",
    "attack_labels",
    "choosing_metric",
    "component_schema",
    "data_section",
    "dump",
    "from_mapping",
    "json_schema",
    "load",
    "metric_facts",
    "metric_labels",
    "resolve",
    "section_schema",
    "shipped",
]
