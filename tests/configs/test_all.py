"""Every config of a lecture whose configs are run in a reduced setting is among them."""

import re
from pathlib import Path

import pytest

from dlcourse.resources import configs_folder

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", sorted(HERE.glob("test_[0-9]*.py")), ids=lambda file: file.stem)
def test_no_config_is_left_out(file: Path) -> None:
    configs = (configs_folder() / file.stem.removeprefix("test_")).glob("*.yaml")
    named, text = {config.stem for config in configs}, file.read_text()
    assert {name for name in named if not re.search(rf'["/]{name}"', text)} == set()
