"""csv files: columns become features, and everything that can be wrong is reported with the file and the row."""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse import registry
from dlcourse.data import prepare
from dlcourse.data.encoder import TableEncoder
from dlcourse.data.table import read_table
from dlcourse.errors import ConfigError, DataError
from dlcourse.records.check import check

FLATS = """size,city,rooms,rent
50,Delhi,2,500
70,Chennai,3,600
90,Delhi,3,800
40,Agra,1,300
"""


def write(folder: Path, text: str | bytes, name: str = "flats.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def load(path, **parameters):
    return registry.build("data", {"name": "csv", "path": path, "target": "rent", **parameters}).load(0)


def test_numbers_stay_and_texts_become_one_hot(tmp_path):
    data = load(write(tmp_path, FLATS), units={"size": "m^2", "rent": "euros"})
    assert data.task == "regression"
    assert data.feature_names == ("size", "city=Agra", "city=Chennai", "city=Delhi", "rooms")
    assert data.feature_units == ("m^2", "", "", "", "")
    assert (data.target_name, data.target_unit) == ("rent", "euros")
    np.testing.assert_array_equal(data.x, [[50, 0, 0, 1, 2], [70, 0, 1, 0, 3], [90, 0, 0, 1, 3], [40, 1, 0, 0, 1]])
    np.testing.assert_array_equal(data.y, [[500], [600], [800], [300]])


def test_features_come_in_the_order_asked_for(tmp_path):
    data = load(write(tmp_path, FLATS), features=["rooms", "size"])
    np.testing.assert_array_equal(data.x, [[2, 50], [3, 70], [3, 90], [1, 40]])


def test_codes_can_be_categories(tmp_path):
    data = load(write(tmp_path, FLATS), features=["rooms"], categorical=["rooms"])
    assert data.feature_names == ("rooms=1", "rooms=2", "rooms=3")
    np.testing.assert_array_equal(data.x.argmax(axis=1), [1, 2, 2, 0])


def test_a_textual_target_makes_a_classification(tmp_path):
    data = load(write(tmp_path, FLATS), target="city", features=["size"])
    assert data.task == "classification" and data.class_names == ("Agra", "Chennai", "Delhi")
    np.testing.assert_array_equal(data.y, [2, 1, 2, 0])
    assert data.y.dtype == np.int64


def test_a_numeric_target_is_classes_when_asked_for_in_the_order_of_the_numbers(tmp_path):
    text = "a,digit\n1,10\n2,9\n3,10\n"
    data = load(write(tmp_path, text), target="digit", task="classification")
    assert data.class_names == ("9", "10")
    np.testing.assert_array_equal(data.y, [1, 0, 1])
    with pytest.raises(ConfigError, match="holds text, so it cannot be a regression"):
        load(write(tmp_path, FLATS), target="city", task="regression")


@pytest.mark.parametrize(
    ("where", "rents"),
    [
        ({"city": "Delhi"}, [500, 800]),
        ({"city": ["Delhi", "Agra"]}, [500, 800, 300]),
        ({"city": "Delhi", "rooms": 3}, [800]),
        ({"size": 70.0}, [600]),
    ],
)
def test_where_keeps_rows(tmp_path, where, rents):
    data = load(write(tmp_path, FLATS), where=where, features=["size"])
    assert data.y[:, 0].tolist() == rents


def test_a_column_held_by_where_is_no_default_feature(tmp_path):
    assert load(write(tmp_path, FLATS), where={"city": "Delhi"}).feature_names == ("size", "rooms")
    with pytest.raises(DataError, match="no row has 'Paris' in column 'city'; there is 'Agra', 'Chennai', 'Delhi'"):
        load(write(tmp_path, FLATS), where={"city": "Paris"})


def test_quotes_spaces_byte_order_marks_and_empty_lines_are_read(tmp_path):
    text = b'\xef\xbb\xbf"rent", size \r\n\r\n"1", 2.5\r\n-1e3,"3"\r\n\r\n'
    data = load(write(tmp_path, text))
    np.testing.assert_array_equal(data.x, [[2.5], [3]])
    np.testing.assert_array_equal(data.y, [[1], [-1000]])


def test_another_delimiter(tmp_path):
    path = write(tmp_path, "size;rent\n1,5;2\n".replace(",", "."))
    np.testing.assert_array_equal(load(path, delimiter=";").x, [[1.5]])
    with pytest.raises(DataError, match="is its delimiter ';'"):
        load(path)
    with pytest.raises(ConfigError, match="expected one character"):
        load(path, delimiter="; ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "flats.csv is empty"),
        (b"size,rent\n", "holds no samples"),
        (b"size,rent\n1,2\n3\n", "flats.csv, row 3: 1 cells, but the header has 2"),
        (b"size,rent\n1,2\n\n3,4,5\n", "row 4: 3 cells"),
        (b"size,rent\n1,2\nbig,3\n", "row 3: column 'size' has 'big' where other rows have numbers"),
        (b"size,rent\n1,2\n2,3\n3,\n", "row 4: column 'rent' has a missing cell"),
        (b"size,rent\nNaN,2\n2,3\n n/a ,1\n", r"row 2: column 'size' has a missing cell \(and in 1 more rows\)"),
        (b"size,rent\n1,2\n1e999,3\n", "row 3: column 'size' holds 1e999, which is not finite"),
        (b"size,rent\n1,-inf\n", "row 2: column 'rent' holds -inf"),
        (b"size,rent\n1_000,2\n3,4\n", "row 2: column 'size' has '1_000'"),
        (b"size,rent\n1,2\n\xff,3\n", "row 3: not UTF-8 text"),
        (b"size,size,rent\n1,1,2\n", "column 'size' is there 2 times"),
        (b'size,rent\n1,2\n"3,4\n', "row 3: unexpected end of data"),
        (b'size,rent\n1,2\n"3"4,4\n', "row 3: "),
        (b"size,price\n1,2\n", "has no column 'rent'; its columns: 'size', 'price'"),
        (b"size,rents\n1,2\n", "no column 'rent'; did you mean 'rents'"),
        (b"size,rent\n,2\n,3\n", "row 2: column 'size' has a missing cell"),
    ],
)
def test_faults_name_file_and_row(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as raised:
        load(write(tmp_path, text))
    assert "flats.csv" in str(raised.value)


@given(st.one_of(st.binary(max_size=60), st.text("ab,;\"'\n\r\t 1.-\x00", max_size=60).map(str.encode)))
def test_any_bytes_are_a_table_or_one_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        table = read_table(path)
        for name in table.header:
            assert len(table.column(name)) == len(table.lines)
            table.is_numeric(name)
    except DataError as error:
        assert "any.csv" in str(error)


def test_names_of_columns_are_not_categories(tmp_path):
    text = "name,rent\n" + "".join(f"flat {i},{i}\n" for i in range(1001))
    with pytest.raises(DataError, match="'name' has 1001 different texts"):
        load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"features": ["size", "rent"]}, "'rent' is the target"),
        ({"features": ["size", "size"]}, "listed twice"),
        ({"categorical": ["x"]}, "'x' is neither a feature nor the target"),
        ({"missing": {"x": 1}}, "'x' is neither a feature nor the target"),
        ({"missing": {"rent": "mean"}}, "target 'rent' cannot be filled with a mean"),
        ({"missing": {"size": "large"}}, "data.missing.size: .*'large' where a number is expected"),
        ({"missing": {"city": "Dehli"}}, "data.missing.city: .*did you mean 'Delhi'"),
        ({"missing": {"city": "NA"}}, "data.missing.city: 'NA' is what a missing cell looks like"),
        ({"decimal": ";"}, "data.decimal: expected"),
        ({"thousands": "x"}, "data.thousands: expected one of"),
        ({"thousands": "."}, "data.thousands: '.' is data.decimal too"),
    ],
)
def test_parameters_that_cannot_be_are_refused(tmp_path, parameters, message):
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path, FLATS), **parameters)


def test_units_of_unknown_columns_are_refused(tmp_path):
    with pytest.raises(DataError, match="no column 'sise'; did you mean 'size'"):
        load(write(tmp_path, FLATS), units={"sise": "m^2"})


GAPS = """size,city,rent
10,Delhi,1
,Agra,2
30,,3
50,Agra,
60,Delhi,6
"""


class TestMissing:
    def test_drop_leaves_rows_out(self, tmp_path):
        data = load(write(tmp_path, GAPS), missing="drop")
        assert data.y[:, 0].tolist() == [1, 6]
        with pytest.raises(DataError, match="every row has a missing cell"):
            load(write(tmp_path, "size,rent\n1,\n,2\n"), missing="drop")

    def test_rules_by_column(self, tmp_path):
        data = load(write(tmp_path, GAPS), missing={"size": 20, "city": "Agra", "rent": "drop"})
        np.testing.assert_array_equal(data.x, [[10, 0, 1], [20, 1, 0], [30, 1, 0], [60, 0, 1]])
        with pytest.raises(DataError, match="row 4: column 'city' has a missing cell"):
            load(write(tmp_path, GAPS), missing={"size": 20, "rent": "drop"})

    def test_mean_is_that_of_the_training_split_and_serves_new_inputs(self, tmp_path):
        section = {"name": "csv", "path": write(tmp_path, GAPS), "target": "rent", "missing": "mean"}
        data = prepare({**section, "split": {"train": 2, "test": 2}, "shuffle": False}, 0)
        # Training rows: (10, Delhi) and (?, Agra), the row without a target is left out.
        np.testing.assert_array_equal(data.splits["train"].x, [[10, 0, 1], [10, 1, 0]])
        np.testing.assert_array_equal(data.splits["test"].x, [[30, 0.5, 0.5], [60, 0, 1]])
        np.testing.assert_array_equal(data.dataset.encoder.encode({"size": "", "city": ""}), [[10, 0.5, 0.5]])
        with pytest.raises(DataError, match="'size' has no value in the whole training split"):
            path = write(tmp_path, "size,rent\n,1\n2,3\n")
            prepare({**section, "path": path, "split": {"train": 1, "test": 1}, "shuffle": False}, 0)

    @pytest.mark.parametrize(("rule", "name"), [("unknown", "unknown"), (0, "0"), (True, "True"), ("Öd", "Öd")])
    def test_a_text_that_no_cell_has_is_a_category_of_its_own(self, tmp_path, rule, name):
        data = load(write(tmp_path, GAPS), features=["city"], missing={"city": rule, "rent": "drop"})
        assert data.feature_names == ("city=Agra", "city=Delhi", f"city={name}")
        np.testing.assert_array_equal(data.x, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
        np.testing.assert_array_equal(data.encoder.encode({"city": ""}), [[0, 0, 1]])
        np.testing.assert_array_equal(data.encoder.encode({"city": str(rule)}), [[0, 0, 1]])

    def test_a_target_may_have_it_too(self, tmp_path):
        data = load(write(tmp_path, GAPS), target="city", features=["rent"], missing={"city": "none", "rent": 4})
        assert data.class_names == ("Agra", "Delhi", "none") and data.y.tolist() == [1, 0, 2, 0, 1]
        assert data.x[:, 0].tolist() == [1, 2, 3, 4, 6]

    def test_a_number_is_that_category_however_it_is_written(self, tmp_path):
        path = write(tmp_path, "code,rent\n1,2\n2.0,3\n,4\n")
        data = load(path, categorical=["code"], missing={"code": 2})
        assert data.feature_names == ("code=1", "code=2.0") and data.x[2].tolist() == [0, 1]


class TestTestPath:
    def test_it_is_the_test_part(self, tmp_path):
        other = write(tmp_path, "rent,rooms,city,size\n1,9,Agra,8\n", "test.csv")
        data = prepare({"name": "csv", "path": write(tmp_path, FLATS), "target": "rent", "test_path": other}, 0)
        assert {name: len(part) for name, part in data.splits.items()} == {"train": 4, "test": 1}
        np.testing.assert_array_equal(data.splits["test"].x, [[8, 1, 0, 0, 9]])

    def test_a_category_that_training_never_had_is_an_error(self, tmp_path):
        other = write(tmp_path, "size,city,rooms,rent\n1,Dehli,1,1\n", "test.csv")
        with pytest.raises(DataError, match="test.csv, row 2: column 'city' has 'Dehli'.*did you mean 'Delhi'"):
            load(write(tmp_path, FLATS), test_path=other)


class TestEncoder:
    def test_new_inputs_from_a_file(self, tmp_path):
        encoder = load(write(tmp_path, FLATS)).encoder
        new = write(tmp_path, "rooms,note,city,size\n4,nice,Agra,100\n", "new.csv")
        np.testing.assert_array_equal(encoder.parse(Path(new).read_bytes(), new), [[100, 1, 0, 0, 4]])
        with pytest.raises(DataError, match="new.csv has no column 'size'"):
            encoder.parse(b"rooms,city\n4,Agra\n", "new.csv")
        with pytest.raises(DataError, match="new.csv, row 2: column 'size' has a missing cell"):
            encoder.parse(b"size,rooms,city\n,4,Agra\n", "new.csv")

    def test_it_survives_json(self, tmp_path):
        import json

        encoder = load(write(tmp_path, FLATS), missing={"size": 20, "city": "Agra"}).encoder
        assert check(json.loads(json.dumps(asdict(encoder))), TableEncoder) == encoder

    def test_synthetic_sets_have_one_too(self):
        encoder = registry.build("data", {"name": "westwood_rent"}).load(0).encoder
        np.testing.assert_array_equal(encoder.encode({"floor area": 900}), [[900]])


def column(folder: Path, cells: list[str], rows: int | None = None, **parameters):
    """A data set whose only feature has these cells, over and over."""
    lines = [f'"{cells[i % len(cells)]}",{i}' for i in range(rows or len(cells))]
    return load(write(folder, "\n".join(["size,rent", *lines])), **parameters)


class TestNumbersOfAnotherKind:
    @pytest.mark.parametrize(
        ("cells", "sample", "fix"),
        [
            (["51,4", "48,2", "60,0"], "51,4", "decimal comma. data.decimal: ','"),
            (["51", "48,2", "60"], "48,2", "decimal comma. data.decimal: ','"),
            (["1,860", "900", "12,000,000"], "1,860", "commas between thousands. data.thousands: ','"),
            (["1 860", "2 400"], "1 860", "spaces between thousands. data.thousands: ' '"),
            (["1\u00a0860,5", "900"], "1 860,5", "data.decimal: ',' and data.thousands: ' '"),
            (["1\u202f860", "2\u202f400"], "1 860", "data.thousands: ' '"),
            (["1'860.5", "900"], "1'860.5", "apostrophes"),
            (["1\u2019860", "900"], "1\u2019860", 'data.thousands: "\'"'),
            (["1.860,50", "900"], "1.860,50", "data.decimal: ',' and data.thousands: '.'"),
            (["1.860.000", "2.000.000"], "1.860.000", "data.thousands: '.'"),
            (["12,34,567", "1,23,456"], "12,34,567", "data.thousands: ','"),
            (["$860.64", "$900"], "$860.64", "currency sign.*data.units"),
            (["860 \u20ac", "900 \u20ac"], "860 \u20ac", "currency sign"),
            (["45%", "3.5 %"], "45%", "percentage"),
            (["51.4 m2", "48 m2"], "51.4 m2", "with a unit.*data.units"),
            (["51 km/h", "48 km/h", "5 km/h"], "51 km/h", "with a unit"),
            (["<5", "7"], "<5", "sign before it"),
            (["2024-01-31", "2024-02-28"], "2024-01-31", "a date or a time"),
            (["1.2.2024", "3.4.2024"], "1.2.2024", "a date or a time"),
        ],
    )
    def test_they_are_named_with_what_to_do(self, tmp_path, cells, sample, fix):
        import re

        message = f"row .: column 'size' has {re.escape(repr(sample))}.*{fix}.*categorical"
        with pytest.raises(DataError, match=message):
            column(tmp_path, cells, 2 * len(cells))
        if len(set(cells)) == len(cells):
            assert column(tmp_path, cells, 2 * len(cells), categorical=["size"]).x.shape[1] == len(cells)

    @pytest.mark.parametrize(
        ("cells", "notation", "numbers"),
        [
            (["51,4", "48", "-1e-2", ",5", "\u22127"], {"decimal": ","}, [51.4, 48, -0.01, 0.5, -7]),
            (["1.860,5", "900", "12.000.000"], {"decimal": ",", "thousands": "."}, [1860.5, 900, 12e6]),
            (["1 860", "2\u00a0400.5", "3\u202f000"], {"thousands": " "}, [1860, 2400.5, 3000]),
            (["1'860", "2\u2019400"], {"thousands": "'"}, [1860, 2400]),
            (["12,34,567", "1,000"], {"thousands": ","}, [1234567, 1000]),
        ],
    )
    def test_the_keys_that_are_named_read_them(self, tmp_path, cells, notation, numbers):
        assert column(tmp_path, cells, **notation).x[:, 0].tolist() == numbers

    def test_groups_that_are_none_are_refused(self, tmp_path):
        for cell in ("18,60", "1,8600", ",860"):
            with pytest.raises(DataError, match="where other rows have numbers"):
                column(tmp_path, [cell, "900", "1,000"], thousands=",")

    def test_a_decimal_point_where_there_should_be_a_comma(self, tmp_path):
        with pytest.raises(DataError, match="'51.4'.*a decimal point. data.decimal: '.'"):
            column(tmp_path, ["51.4", "48,2", "48"], decimal=",")

    def test_new_inputs_are_read_the_same_way(self, tmp_path):
        import json

        encoder = column(tmp_path, ["51,4", "1.860,5"], decimal=",", thousands=".", delimiter=",").encoder
        encoder = check(json.loads(json.dumps(asdict(encoder))), TableEncoder)
        new = write(tmp_path, 'size\n"2.000,5"\n', "new.csv")
        assert encoder.parse(Path(new).read_bytes(), new).tolist() == [[2000.5]]
        for typed in ("2.000,5", "2000.5", 2000.5):
            assert encoder.encode({"size": typed}).tolist() == [[2000.5]]
        old = {"delimiter": ",", "columns": [{"name": "size", "categories": None, "fill": None}]}
        assert check(old, TableEncoder).encode({"size": "5.5"}).tolist() == [[5.5]]

    def test_a_target_too(self, tmp_path):
        path = write(tmp_path, 'size,rent\n1,"500 EUR"\n2,"600 EUR"\n')
        with pytest.raises(DataError, match="column 'rent' has '500 EUR': an amount with a currency sign"):
            load(path)

    def test_texts_with_digits_stay_categories(self, tmp_path):
        for cells in (["2 BHK", "3 BHK"], ["A1", "B2"], ["Ground out of 2", "1 out of 3"], ["1st", "2nd", "3rd"]):
            assert column(tmp_path, cells, 40).x.shape[1] == len(cells)


class TestNames:
    def test_texts_that_are_nearly_all_different_are_refused_with_their_number(self, tmp_path):
        cells = [f"flat {i}" for i in range(24)] + ["flat 1"]
        with pytest.raises(DataError, match="column 'size' has 24 different texts in 25 rows.*categorical: .size."):
            column(tmp_path, cells)
        assert column(tmp_path, cells, categorical=["size"]).x.shape == (25, 24)
        assert column(tmp_path, cells[:12]).x.shape == (12, 12)
        assert column(tmp_path, cells[:15], 40).x.shape == (40, 15)

    @pytest.mark.parametrize("parameters", [{}, {"task": "classification"}])
    def test_a_target_of_classes_too(self, tmp_path, parameters):
        cells = [f"{'' if parameters else 'no '}{i}" for i in range(30)]
        parameters = {**parameters, "target": "size", "features": ["rent"]}
        with pytest.raises(DataError, match="column 'size' has 30 different"):
            column(tmp_path, cells, **parameters)
        assert len(column(tmp_path, cells, categorical=["size"], **parameters).class_names) == 30


class TestEqualCells:
    def test_equal_numbers_are_one_category_and_one_class(self, tmp_path):
        cells = ["1", "1.0", " 1", "+1", "1e0", "2", "2.50", "2.5"]
        data = column(tmp_path, cells, categorical=["size"])
        assert data.feature_names == ("size=1", "size=2", "size=2.5")
        assert data.x.argmax(axis=1).tolist() == [0, 0, 0, 0, 0, 1, 2, 2]
        data = column(tmp_path, cells, target="size", features=["rent"], task="classification")
        assert data.class_names == ("1", "2", "2.5") and data.y.tolist() == [0, 0, 0, 0, 0, 1, 2, 2]

    def test_new_inputs_and_test_files_too(self, tmp_path):
        other = write(tmp_path, "rent,size\n1,1.0\n", "test.csv")
        data = column(tmp_path, ["1", "2", "True", "false"], categorical=["size"], test_path=other)
        assert data.test[0].tolist() == [[1, 0, 0, 0]]
        for typed, place in (("1.00", 0), (2.0, 1), ("true", 2), ("FALSE", 3), (True, 2)):
            assert data.encoder.encode({"size": typed}).argmax() == place

    def test_true_and_false_in_any_case(self, tmp_path):
        assert column(tmp_path, ["true", "True", "TRUE", "true", "false"]).feature_names == ("size=false", "size=true")

    def test_a_zero_in_front_makes_a_text(self, tmp_path):
        data = column(tmp_path, ["01067", "1067", "1067.0", "1e3"], categorical=["size"])
        assert data.feature_names == ("size=1e3", "size=01067", "size=1067")
        with pytest.warns(UserWarning, match="'01067' looks like a code.*data.categorical: .size."):
            assert column(tmp_path, ["01067", "80331"]).x.shape == (2, 1)

    def test_numbers_larger_than_a_float_holds_stay_apart(self, tmp_path):
        assert column(tmp_path, ["9007199254740993", "9007199254740992"], categorical=["size"]).x.shape == (2, 2)

    def test_texts_that_look_the_same_are_the_same(self, tmp_path):
        data = column(tmp_path, ["K\u00f6ln", "Ko\u0308ln", "K\u00f6\u200bln\u00a0", "Bonn"])
        assert data.feature_names == ("size=Bonn", "size=K\u00f6ln")


class TestNamesOfColumns:
    @pytest.mark.parametrize(
        ("header", "asked"),
        [
            ("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"),
            ("Gro\u0308\u00dfe", "Gr\u00f6\u00dfe"),
            ("floor area", "floor\u00a0area"),
            ("floor\u00a0area", "floor area"),
            ("size\u200b", "size"),
            ("\ufeffsize", "size"),
            ("size", "si\u00adze\u2060"),
        ],
    )
    def test_they_are_compared_as_they_look(self, tmp_path, header, asked):
        path = write(tmp_path, f"rent,{header}\n1,2\n3,4\n")
        data = load(path, features=[asked], units={asked: "m"}, missing={asked: 0}, where={asked: [2, 4]})
        assert data.x[:, 0].tolist() == [2, 4] and data.feature_units == ("m",)
        assert data.encoder.encode({asked: 7}).tolist() == [[7]]

    def test_what_looks_like_a_name_but_is_none_is_said_by_its_characters(self, tmp_path):
        path = write(tmp_path, "Rate,rent\n1,2\n")
        with pytest.raises(DataError, match=r"did you mean 'Rate'. .*U\+0430 CYRILLIC SMALL LETTER A"):
            load(path, features=["R\u0430te"])

    def test_two_that_look_the_same_are_one_too_many(self, tmp_path):
        with pytest.raises(DataError, match="is there 2 times"):
            load(write(tmp_path, "a\u00a0b,a b,rent\n1,2,3\n"))


class TestSize:
    def test_many_columns_take_time_in_proportion(self, tmp_path):
        import time

        def seconds(columns):
            names = ",".join(f"c{i}" for i in range(columns))
            path = write(tmp_path, f"{names},rent\n" + ("1," * columns + "2\n") * 2)
            start = time.perf_counter()
            assert load(path).x.shape == (2, columns)
            return time.perf_counter() - start

        seconds(1000)
        assert seconds(40_000) < 40 * max(seconds(2000), 0.05)

    def test_too_many_columns_to_list_are_counted(self, tmp_path):
        path = write(tmp_path, ",".join(f"c{i}" for i in range(30_000)) + "\n" + "1," * 29_999 + "2\n")
        with pytest.raises(DataError, match="no column 'rent'; .*'c19', and 29980 more") as raised:
            load(path)
        assert len(str(raised.value)) < 500

    def test_one_hot_columns_that_explode_are_refused_with_their_bytes(self, tmp_path, monkeypatch):
        rows = [f"a{i % 900},b{i % 900},{i}" for i in range(2000)]
        path = write(tmp_path, "\n".join(["one,two,rent", *rows]))
        monkeypatch.setattr("dlcourse.data.bounds._MIN_BYTES", 1 << 20)
        with pytest.raises(DataError, match="2000 rows of 1801 numbers .'one' alone becomes 900. would take 27.5 MiB"):
            load(path)
        monkeypatch.setenv("DLCOURSE_MAX_GIB", "1")
        assert load(path).x.shape == (2000, 1800)


REAL = Path(os.environ.get("DLCOURSE_DATA", "")) / "housing"


@pytest.mark.skipif(not (REAL / "House_Rent_Dataset.csv").is_file(), reason="DLCOURSE_DATA has no housing folder")
class TestRealRents:
    def test_the_rents_of_one_city(self):
        section = {
            "name": "csv", "path": "housing/House_Rent_Dataset.csv", "features": ["Size"], "target": "Rent",
            "where": {"City": "Hyderabad"}, "units": {"Size": "square feet", "Rent": "rupees"},
            "split": {"train": 0.8, "test": 0.2},
        }  # fmt: skip
        data = prepare(section, 0)
        assert data.dataset.x.shape == (868, 1) and data.task == "regression"
        assert np.corrcoef(data.dataset.x[:, 0], data.dataset.y[:, 0])[0, 1] == pytest.approx(0.76, abs=0.005)

    def test_categories_of_all_cities(self):
        data = load("housing/House_Rent_Dataset.csv", target="Rent", features=["Size", "City", "Furnishing Status"])
        assert data.x.shape == (4745, 1 + 6 + 3)
        np.testing.assert_array_equal(data.x[:, 1:7].sum(axis=1), 1)

    def test_the_missing_bedrooms_of_california(self):
        path = "housing/california_housing.csv"
        with pytest.raises(DataError, match=r"row 292: column 'total_bedrooms' has a missing cell \(and in 206 more"):
            load(path, target="median_house_value")
        assert load(path, target="median_house_value", missing="drop").x.shape == (20640 - 207, 8 + 5)
        section = {"name": "csv", "path": path, "target": "median_house_value", "missing": "mean"}
        data = prepare({**section, "split": {"train": 0.5, "test": 0.5}, "normalize": "standardize"}, 0)
        assert len(data.splits["train"]) + len(data.splits["test"]) == 20640
        assert np.isfinite(data.splits["test"].x).all()


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (",size,rent\n0,50,500\n1,70,600\n", ("size",)),  # as pandas writes its index
        ("size,rent,\n50,500,\n70,600,\n", ("size",)),
        (",size,,rent\n0,50,,500\n1,70,,600\n", ("size",)),
    ],
)
def test_columns_without_a_name_are_no_default_features(tmp_path, text, features):
    with pytest.warns(UserWarning, match="without a name"):
        data = load(write(tmp_path, text))
    assert data.feature_names == features
    np.testing.assert_array_equal(data.x, [[50], [70]])


def test_blank_lines_and_spaces_before_quotes_do_not_count(tmp_path):
    data = load(write(tmp_path, 'size, "city", rent\n  \n50, "Ulm, West", 500\n\t\n70, "Ulm", 600\n'))
    assert data.feature_names == ("size", "city=Ulm", "city=Ulm, West")
    np.testing.assert_array_equal(data.x, [[50, 0, 1], [70, 1, 0]])


@pytest.mark.parametrize("cell", ["#N/A", "<NA>", "-nan", "null"])
def test_cells_that_spreadsheets_and_pandas_write_for_nothing_are_missing(tmp_path, cell):
    text = f"size,city,rent\n{cell},Ulm,1\n50,{cell},2\n70,Ulm,3\n60,Bonn,4\n"
    data = load(write(tmp_path, text), missing="drop")
    assert data.feature_names == ("size", "city=Bonn", "city=Ulm")
    np.testing.assert_array_equal(data.y, [[3], [4]])


@pytest.mark.parametrize("cells", [("1st", "2nd", "3rd", "4th"), ("1980s", "1990s", "2000s", "2010s")])
def test_ordinals_and_decades_are_categories(tmp_path, cells):
    text = "floor,rent\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells))
    assert load(write(tmp_path, text)).feature_names == tuple(f"floor={cell}" for cell in cells)


def test_a_whole_number_for_a_missing_category_is_named_as_written(tmp_path):
    text = "city,rent\nUlm,1\n,2\nBonn,3\n"
    assert load(write(tmp_path, text), missing={"city": 0.0}).feature_names == ("city=Bonn", "city=Ulm", "city=0")
