"""What columns of a csv file become: left out, filled by the training split, dates, several targets; and odd files."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from dlcourse import registry
from dlcourse.cli import main
from dlcourse.data import prepare
from dlcourse.data.dates import read_date
from dlcourse.data.encoder import TableEncoder
from dlcourse.errors import ConfigError, DataError
from dlcourse.records.check import check

FLATS = "size,city,rooms,rent\n50,Delhi,2,500\n70,Chennai,3,600\n90,Delhi,3,800\n40,Agra,1,300\n"
GAPS = "size,city,rent\n10,Delhi,1\n,Agra,2\n30,,3\n50,Agra,\n60,Delhi,6\n20,Delhi,7\n"


def write(folder: Path, text: str, name: str = "flats.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def load(path: str, **parameters):
    return registry.build("data", {"name": "csv", "path": path, "target": "rent", **parameters}).load(0)


class TestExclude:
    def test_it_leaves_columns_out(self, tmp_path):
        assert load(write(tmp_path, FLATS), exclude=["city"]).feature_names == ("size", "rooms")

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"exclude": ["cty"]}, "no column 'cty'; did you mean 'city'"),
            ({"exclude": ["rent"]}, "data.exclude: 'rent' is the target"),
            ({"exclude": ["city"], "features": ["size"]}, "data.exclude: .* beside data.features it has no meaning"),
            ({"exclude": ["city", "city"]}, "data.exclude: a column is listed twice"),
            ({"exclude": ["city"], "categorical": ["city"]}, "'city' is neither a feature nor the target"),
        ],
    )
    def test_what_cannot_be_left_out_is_said(self, tmp_path, parameters, message):
        with pytest.raises((ConfigError, DataError), match=message):
            load(write(tmp_path, FLATS), **parameters)

    def test_a_column_that_counts_the_rows_is_said(self, tmp_path):
        path = write(tmp_path, "id,size,rent\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(30)))
        with pytest.warns(UserWarning, match=r"column 'id' counts the rows.*data.exclude: \[id\]"):
            load(path)
        assert load(path, exclude=["id"]).feature_names == ("size",)


class TestMissing:
    def test_the_median_is_that_of_the_training_split(self, tmp_path):
        section = {"name": "csv", "path": write(tmp_path, GAPS), "target": "rent", "missing": "median"}
        data = prepare({**section, "split": {"train": 3, "test": 2}, "shuffle": False}, 0)
        # Training rows: (10, Delhi), (?, Agra), (30, ?); the row without a target is left out. Of Agra and Delhi, each
        # there once, the first in order counts.
        np.testing.assert_array_equal(data.splits["train"].x, [[10, 0, 1], [20, 1, 0], [30, 1, 0]])
        encoder = check(json.loads(json.dumps(asdict(data.dataset.encoder))), TableEncoder)
        np.testing.assert_array_equal(encoder.encode({"size": "", "city": "NA"}), [[20, 1, 0]])

    def test_a_category_of_its_own(self, tmp_path):
        path = write(tmp_path, GAPS)
        data = load(path, missing={"size": "median", "city": "category", "rent": "drop"})
        assert data.feature_names == ("size", "city=Agra", "city=Delhi", "city=missing")
        np.testing.assert_array_equal(data.x[:, 1:].argmax(axis=1), [1, 0, 2, 1, 1])
        np.testing.assert_array_equal(data.encoder.encode({"size": 1, "city": ""}), [[1, 0, 0, 1]])
        assert data.of_categories.tolist() == [False, True, True, True]  # these are not normalized
        one = load(path, features=["city"], missing="category")
        assert one.feature_names == data.feature_names[1:] and one.y[:, 0].tolist() == [1, 2, 3, 6, 7]
        with pytest.raises(ConfigError, match="'size' holds numbers; give it another rule: {size: median}, and"):
            load(path, missing="category")

    def test_columns_without_a_rule_have_none_for_new_inputs(self, tmp_path):
        path = write(tmp_path, "size,city,rent\n10,A,1\n,B,2\n30,A,3\n")
        data = prepare({"name": "csv", "path": path, "target": "rent", "missing": {"size": "mean"}}, 0)
        np.testing.assert_array_equal(data.dataset.encoder.encode({"size": "", "city": "B"}), [[20, 0, 1]])
        with pytest.raises(DataError, match="column 'city' has a missing cell"):
            data.dataset.encoder.encode({"size": 1, "city": ""})

    @pytest.mark.parametrize("word", ["medain", "Mean", "categorie"])
    def test_a_rule_that_was_mistyped_is_no_category(self, tmp_path, word):
        with pytest.raises(ConfigError, match=f"'{word}' would become a category .* did you mean the rule m|c"):
            load(write(tmp_path, GAPS), features=["city"], missing={"city": word, "rent": "drop"})

    def test_a_target_is_not_filled(self, tmp_path):
        with pytest.raises(ConfigError, match="target 'rent' cannot be filled with a median"):
            load(write(tmp_path, GAPS), missing={"rent": "median"})

    def test_the_message_names_the_rules(self, tmp_path):
        with pytest.raises(DataError, match="'city' has a missing cell; fill it, .*mean, median, category, or {city"):
            load(write(tmp_path, GAPS), features=["city"])
        with pytest.raises(DataError, match="'size' has a missing cell; fill it, .*mean, median, or {size"):
            load(write(tmp_path, GAPS), features=["size"])
        with pytest.raises(
            DataError, match="'y' has a missing cell; fill it, .*{y: drop} leaves such rows out, as any"
        ):
            load(write(tmp_path, "x,y\n1,2\n2,\n"), target="y")

    @pytest.mark.parametrize("rule", ["drop", "mean", "median", {"y": "drop"}])
    def test_rows_that_are_left_out_are_counted(self, tmp_path, rule):
        path = write(tmp_path, "x,y\n1,2\n2,\n3,4\n5,NA\n")
        with pytest.warns(UserWarning, match="2 of 4 rows left out for a missing cell .*: 'y' 2$"):
            assert len(load(path, target="y", missing=rule).x) == 2


def days(folder: Path, cells: list[str], parts=None, **more):
    path = write(folder, "\n".join(["day,rent", *(f'"{cell}",{i}' for i, cell in enumerate(cells))]) + "\n")
    return load(path, **{"dates": ["day"] if parts is None else {"day": parts}, **more})


class TestDates:
    @pytest.mark.parametrize(
        ("cell", "order", "expected"),
        [
            ("2024-02-29", "ymd", "2024-02-29 00:00:00"),
            ("2024/2/9 7:05", "dmy", "2024-02-09 07:05:00"),
            ("2024-02-29T13:45:30.25Z", "ymd", "2024-02-29 13:45:30.250000"),
            ("2024-02-29 13:45:30+01:00", "ymd", "2024-02-29 13:45:30"),
            ("29.2.2024", "dmy", "2024-02-29 00:00:00"),
            ("2/29/24 1:05 pm", "mdy", "2024-02-29 13:05:00"),
            ("12:30 AM", "ymd", "1970-01-01 00:30:00"),
            ("20240229", "ymd", "2024-02-29 00:00:00"),
            ("29 Feb 2024", "ymd", "2024-02-29 00:00:00"),
            ("February 29, 2024", "ymd", "2024-02-29 00:00:00"),
            ("2023-02-29", "ymd", "None"),
            ("24:10", "ymd", "None"),
            ("29 Fib 2024", "ymd", "None"),
            ("yesterday", "ymd", "None"),
            ("2024-02", "ymd", "2024-02-01 00:00:00"),
            ("2024/13", "dmy", "None"),
            ("24-02-29", "ymd", "2024-02-29 00:00:00"),
            ("29 February 2024 18:00", "mdy", "2024-02-29 18:00:00"),
            ("2024", "ymd", "None"),
            ("Z", "ymd", "None"),
        ],
    )
    def test_cells(self, cell, order, expected):
        assert str(read_date(cell, order)) == expected

    def test_parts_are_stated(self, tmp_path):
        parts = ["year", "month", "day", "day_of_week", "day_of_year", "hour", "minute", "second", "days"]
        data = days(tmp_path, ["1970-01-02 12:30:15", "2024-12-31 00:00:00"], parts)
        assert data.feature_names == tuple(f"day.{part}" for part in parts)
        np.testing.assert_allclose(
            data.x, [[1970, 1, 2, 4, 2, 12, 30, 15, 1.5210069], [2024, 12, 31, 1, 366, 0, 0, 0, 20088]], rtol=1e-7
        )

    def test_cycles_are_sine_and_cosine(self, tmp_path):
        data = days(tmp_path, ["2024-01-01 06:00", "2024-07-01 18:00"], ["month_cycle", "hour_cycle"])
        assert data.feature_names[:2] == ("day.month_cycle.sin", "day.month_cycle.cos")
        np.testing.assert_allclose(data.x, [[0, 1, 1, 0], [0, -1, -1, 0]], atol=1e-12)

    def test_what_is_not_stated_is_said(self, tmp_path):
        messages = r"column 'day' holds dates \(year, month, day; 2024-01-01 to 2024-02-03\), .* are month, day, day_of"
        with pytest.warns(UserWarning, match=messages):
            data = days(tmp_path, ["2024-01-01", "2024-02-03"])
        np.testing.assert_array_equal(data.x, [[1, 1, 0], [2, 3, 5]])

    def test_the_order_is_found_or_asked_for(self, tmp_path):
        for cells in (["31/1/2024", "1/2/2024"], ["1.2.2024", "3.4.2024"]):
            data = days(tmp_path, cells, ["month"])
            assert data.x[1, 0] in (2, 4) and data.encoder.columns[0].dates.order == "dmy"
        assert days(tmp_path, ["1/31/2024", "2/1/2024"], ["month"]).x[1, 0] == 2
        with pytest.raises(DataError, match=r"'1/2/2024' that can be .* data.date_order: dmy .* or mdy"):
            days(tmp_path, ["1/2/2024", "3/4/2024"], ["month"])
        assert days(tmp_path, ["1/2/2024", "3/4/2024"], ["month"], date_order="mdy").x[:, 0].tolist() == [1, 3]

    def test_new_inputs_go_the_same_way(self, tmp_path):
        encoder = days(tmp_path, ["31/1/2024", "1/2/2024"], ["month", "day"]).encoder
        encoder = check(json.loads(json.dumps(asdict(encoder))), TableEncoder)
        np.testing.assert_array_equal(encoder.encode({"day": "3/4/2025"}), [[4, 3]])
        with pytest.raises(DataError, match=r"'4/30/2025' where a date \(day, month, year\) or a time is expected"):
            encoder.encode({"day": "4/30/2025"})

    def test_missing_ones_are_filled_or_dropped(self, tmp_path):
        cells = ["2024-01-01", "", "2024-01-05", "2024-01-06"]
        assert days(tmp_path, cells, ["day"], missing="drop").x[:, 0].tolist() == [1, 5, 6]
        path = str(tmp_path / "flats.csv")
        section = {"name": "csv", "path": path, "target": "rent", "dates": {"day": ["day"]}, "missing": "median"}
        assert prepare(section, 0).dataset.x[:, 0].tolist() == [1, 5, 5, 6]

    @pytest.mark.parametrize(
        ("cells", "parameters", "message"),
        [
            (["2024-01-01", "soon"], {}, "row 3: column 'day' has 'soon', which is no date"),
            (["2024-01-01", "2024-02-30"], {}, "'2024-02-30', which is no date"),
            (["12:30", "13:10"], {"dates": {"day": ["month"]}}, "data.dates.day: month is part of a date"),
            (["2024-01-01", "2024-01-02"], {"dates": ["rent"]}, "'rent' is the target"),
            (["2024-01-01", "2024-01-02"], {"categorical": ["day"]}, "listed under data.categorical too"),
            (["2024-01-01", ""], {"missing": {"day": "2024-01-01"}}, "a date can be missing by the rules drop, mean"),
            (["2024-01-01", ""], {"missing": "category"}, "'day' holds dates; give it another rule"),
            (["2024-01-01", "2024-01-02"], {"dates": {"day": []}}, "data.dates.day: name its parts"),
            (["2024-01-01", "2024-01-02"], {"dates": {"day": ["day", "day"]}}, "a part is listed twice"),
            (["", ""], {}, "nothing but missing cells"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:.*holds dates")
    def test_what_is_none_is_refused(self, tmp_path, cells, parameters, message):
        with pytest.raises((ConfigError, DataError), match=message):
            days(tmp_path, cells, **parameters)

    def test_a_column_that_looks_like_dates_names_the_key(self, tmp_path):
        path = write(tmp_path, "day,rent\n2024-01-01,1\n2024-01-02,2\n")
        with pytest.raises(DataError, match=r"a date or a time. data.dates: \[column\]"):
            load(path)


class TestOddFiles:
    @pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "sep=;;"])
    def test_a_line_that_names_the_delimiter_is_understood(self, tmp_path, line):
        data = load(write(tmp_path, f"{line}\r\nsize;rent\r\n50;1\r\n70;2\r\n"))
        assert data.x[:, 0].tolist() == [50, 70] and data.encoder.delimiter == ";"
        with pytest.raises(DataError, match="row 4: column 'size' has 'big'"):
            load(write(tmp_path, f"{line}\nsize;rent\n50;1\nbig;2\n"))
        assert load(write(tmp_path, "sep=\t\nsize\trent\n50\t1\n")).x.tolist() == [[50]]

    def test_new_inputs_may_have_another_delimiter(self, tmp_path):
        encoder = load(write(tmp_path, "size;city;rent\n50;a;1\n70;b;2\n"), delimiter=";").encoder
        for mark in ",;\t|":
            for first in ("", f"sep={mark}\n"):
                found = encoder.parse(f"{first}city{mark}size\na{mark}60\n".encode(), "new.csv")
                np.testing.assert_array_equal(found, [[60, 1, 0]])

    def test_a_title_above_the_header_is_said(self, tmp_path):
        for title in ("Flats in 2024", "Flats in 2024,,"):
            for blank in ("", "\n"):
                path = write(tmp_path, f"{title}\n{blank}size,city,rent\n50,Ulm,1\n")
                row = 3 if blank else 2
                with pytest.raises(DataError, match=f"row 1: 'Flats in 2024' stands alone, .* in row {row}; delete"):
                    load(path)

    @pytest.mark.parametrize("target", ["rent", "500"])
    def test_a_missing_header_is_said(self, tmp_path, target):
        path = write(tmp_path, "50,Delhi,500\n70,Chennai,600\n90,Delhi,800\n")
        message = "its first row, '50', 'Delhi', '500', looks like data; write a line with the names of the columns"
        if target == "rent":
            with pytest.raises(DataError, match=message):
                load(path)
        else:
            with pytest.warns(UserWarning, match=message):
                load(path, target=target)

    def test_years_are_names_too(self, tmp_path):
        data = load(write(tmp_path, "country,2019,2020,rent\nIndia,1,2,3\nPeru,4,5,6\n"))
        assert data.feature_names == ("country=India", "country=Peru", "2019", "2020")

    def test_names_of_rows_without_a_name_are_said(self, tmp_path):
        path = write(tmp_path, "size,rent\n1,50,500\n2,70,600\n")
        with pytest.raises(DataError, match="3 cells, but the header has 2; where the first column holds the names"):
            load(path)

    def test_other_encodings_are_said(self, tmp_path):
        (tmp_path / "flats.csv").write_bytes("stra\u00dfe,rent\na,1\n".encode("latin-1"))
        with pytest.raises(DataError, match="row 1: not UTF-8 text .*save it as UTF-8"):
            load(str(tmp_path / "flats.csv"))


class TestLabels:
    def test_zeros_and_ones_are_said_to_be_numbers(self, tmp_path):
        path = write(tmp_path, "size,rent\n" + "".join(f"{i * 3 % 7},{i % 2}\n" for i in range(30)))
        with pytest.warns(UserWarning, match="'rent' holds 0 and 1 only.*data.task: classification"):
            assert load(path).task == "regression"
        data = load(path, task="classification")
        assert data.class_names == ("0", "1") and data.y.dtype == np.int64
        assert load(path, task="regression").task == "regression"

    @pytest.mark.parametrize(
        ("words", "model", "messages"),
        [
            ("01", "softmax", "the target's whole numbers are classes, say data.task: classification"),
            (("no", "yes"), "linear", "a target of texts is one of classes"),
        ],
    )
    def test_what_does_not_fit_names_the_task(self, tmp_path, capsys, words, model, messages):
        rows = "".join(f"{i * 7 % 11},{words[i % 2]}\n" for i in range(40))
        path, loss = write(tmp_path, "size,rent\n" + rows), "mse" if model == "linear" else "cross_entropy"
        lines = [f"data: {{name: csv, path: {path}, target: rent}}", f"model: {model}", f"loss: {loss}"]
        (tmp_path / "c.yaml").write_text("\n".join([*lines, "optimizer: {name: sgd, lr: 0.1}\n"]))
        assert main(["validate", str(tmp_path / "c.yaml")]) == 2
        assert messages in capsys.readouterr().err


class TestSeveralTargets:
    def test_they_are_the_columns_of_y(self, tmp_path):
        data = load(write(tmp_path, FLATS), target=["rent", "size"], units={"rent": "euros", "size": "m2"})
        assert data.target_names == ("rent", "size") and data.target_units == ("euros", "m2")
        assert data.feature_names == ("city=Agra", "city=Chennai", "city=Delhi", "rooms")
        np.testing.assert_array_equal(data.y, [[500, 50], [600, 70], [800, 90], [300, 40]])
        one = load(write(tmp_path, FLATS), target=["rent"])
        assert one.target_name == "rent" and one.target_names == () and one.y.shape == (4, 1)

    def test_arrays_name_theirs(self, tmp_path):
        np.savez(tmp_path / "two.npz", x=np.ones((3, 1)), y=np.ones((3, 2)))
        section = {"name": "arrays", "path": str(tmp_path / "two.npz")}
        data = registry.build("data", {**section, "target_name": ["rent", "heat"]}).load(0)
        assert data.target_names == ("rent", "heat") and data.target_name == "rent, heat"
        assert registry.build("data", section).load(0).target_names == ()
        for names in (["rent"], ["rent", "rent"], ["a", "b", "c"]):
            with pytest.raises(ConfigError, match="data.target_name: y holds 2 target"):
                registry.build("data", {**section, "target_name": names}).load(0)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"target": ["rent", "city"]}, "has to be numbers, and 'city' holds text"),
            ({"target": ["rent", "rooms"], "task": "classification"}, "each of several targets are classes; take one"),
            ({"target": ["rent", "rent"]}, "data.target: a column is listed twice"),
            ({"target": []}, "data.target: name the column"),
            ({"target": ["rent", "rooms"], "features": ["rooms"]}, "'rooms' is the target and cannot be a feature"),
            ({"target": ["rent", "room"]}, "no column 'room'; did you mean 'rooms'"),
        ],
    )
    def test_what_cannot_be_is_refused(self, tmp_path, parameters, message):
        with pytest.raises((ConfigError, DataError), match=message):
            load(write(tmp_path, FLATS), **parameters)
