"""Names are text in images and reports, whatever is in them."""

import json
import logging
from pathlib import Path

import pytest
from matplotlib.text import Text

from dlcourse import plots
from dlcourse.plots.gallery import open_view
from dlcourse.plots.gallery import plots as all_plots
from dlcourse.plots.style import styled
from dlcourse.plots.text import power_of_ten
from tests.plots.folders import CLASSIFICATION, gaussian_arrays, grid_sweep, training_events, write_run

NAMES = ["$_a^b$ cost", "_hidden$", "\\frac{1} 50%\n\x1b[31m"]
SHOWN = ["$_a^b$ cost", "_hidden$", "\\frac{1} 50%\\n\\x1b[31m"]


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    facts = CLASSIFICATION | {"class_names": NAMES, "feature_names": ["$x_1$", "$x^{"], "target_name": "$\x1b[2J"}
    named = {"name": "$run_1\x1b[0m", "status": "failed", "error": "cell '\x1b]0;title\x07' <b>"}
    events = training_events()
    return write_run(tmp_path / "run", arrays=gaussian_arrays(), facts=facts, events=events, **named)


def texts(folder: Path) -> dict[str, list[str]]:
    view, found = open_view(folder), {}
    with styled():
        for plot in all_plots():
            if plot.kind == view.kind and plot.applies(view):
                figure, _ = plot.draw(view)
                figure.canvas.draw()
                parts = figure.findobj(Text)
                assert not any(part.get_parse_math() for part in parts if part.get_text())
                found[plot.name] = [part.get_text() for part in parts]
    return found


def test_names_are_text_in_every_image(nasty: Path) -> None:
    found = texts(nasty)
    legend = [text.strip() for text in found["decision_regions"]]
    assert all(name in legend for name in SHOWN) and "$x_1$" in legend and "$x^{" in legend
    assert all(name in [text.strip() for text in found["confusion"]] for name in SHOWN)
    assert not any("\x1b" in text for drawn in found.values() for text in drawn)
    assert {path.stem for path in plots.draw(nasty)} == set(found)


def test_the_report_shows_control_characters(nasty: Path) -> None:
    (nasty / "log.txt").write_text("a line \x1b[31m of an old version\n", encoding="utf-8")
    text = plots.report(nasty).read_text(encoding="utf-8")
    assert not any(ord(c) < 32 and c not in "\n\t" for c in text)
    assert "\\x1b]0;title\\x07&#39; &lt;b&gt;" in text and "a line \\x1b[31m of" in text


def test_missing_glyphs_are_said_once(tmp_path: Path, caplog, recwarn) -> None:
    facts = CLASSIFICATION | {"class_names": ["日本", "語", "🙂"], "feature_names": ["日", "本"]}
    folder = write_run(tmp_path / "run", arrays=gaussian_arrays(), facts=facts, events=training_events())
    with caplog.at_level(logging.WARNING):
        plots.draw(folder)
    (record,) = caplog.records
    assert "show boxes for characters that their font lacks: " in record.message
    assert set(record.message.rpartition(": ")[2].split()) == set("日本語🙂")
    assert not [each for each in recwarn if "Glyph" in str(each.message)]


def test_axes_without_names_are_told_apart(tmp_path: Path) -> None:
    facts = {key: value for key, value in CLASSIFICATION.items() if not key.startswith("feature")}
    view = open_view(write_run(tmp_path / "run", arrays=gaussian_arrays(), facts=facts))
    assert (view.feature(0)[0], view.feature(1)[0]) == ("x1", "x2")


def test_a_log_scale_of_a_color_bar_is_labeled_without_mathematics(tmp_path: Path) -> None:
    rates, momenta = [1e-4, 1e-3, 1e-2, 1e-1], [0.0, 0.5, 0.9]
    folder = grid_sweep(tmp_path / "s", {"optimizer.lr": rates, "optimizer.momentum": momenta})
    state = json.loads((folder / "sweep.json").read_text())
    for i, point in enumerate(state["points"]):
        point["metrics"] = {key: 10.0 ** (i / 2) for key in point["metrics"]}
    (folder / "sweep.json").write_text(json.dumps(state))
    found = texts(folder)
    assert any("10³" in drawn for drawn in found.values())
    assert not any("mathdefault" in text for drawn in found.values() for text in drawn)


@pytest.mark.parametrize(
    ("value", "warned"),
    [(1e-3, "10⁻³"), (1.0, "10⁰"), (1e12, "10¹²"), (20.0, "20"), (0.0, "0"), (-5.0, "-5"), (1e-300, "10⁻³⁰⁰")],
)
def test_powers_of_ten(value: float, warned: str) -> None:
    assert power_of_ten(value) == warned
