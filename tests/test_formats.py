"""Rows of any format in, rows of any format out, in input order."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_factory import play

from bon.datasets import (
    BadRow,
    Fields,
    OrderedWriter,
    Output,
    Row,
    keep_apart,
    read_inputs,
    read_prompts,
    read_results,
    read_rows,
    writing,
)
from bon.datasets.files import input_files
from bon.schema import result_to_json
from bon.types import BonError, Prompt

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

HERE = Path(__file__).parent


def rows_of(path: Path | str) -> list[Mapping[str, Any]]:
    rows = list(read_rows(str(path)))
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row.data for row in rows if isinstance(row, Row)]


def prompts_of(folder: Path, *rows: Any, fields: Fields | None = None) -> list[Prompt]:
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    found = list(read_prompts(str(path), fields or Fields()))
    assert not [row for row in found if isinstance(row, BadRow)], found
    return [row for row in found if isinstance(row, Prompt)]


def texts(prompt: Prompt) -> list[str]:
    return [candidate.text for candidate in prompt.given]


# --- reading ------------------------------------------------------------------------------------

ROWS = [{"prompt": f"q{i}", "candidates": ["a", f"b\n{i}", ""], "n": i} for i in range(5)]


def write_all(folder: Path) -> list[Path]:
    """The same rows in every format there is."""
    lines = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)
    array = orjson.dumps(ROWS, option=orjson.OPT_INDENT_2)
    table = pa.Table.from_pylist(ROWS)
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines[:100]) + gzip.compress(lines[100:]))
    (folder / "c.jsonl.zst").write_bytes(pa.compress(lines, codec="zstd", asbytes=True))
    (folder / "d.json").write_bytes(array)
    (folder / "e.json.gz").write_bytes(gzip.compress(array))
    (folder / "f.json").write_bytes(lines)
    pq.write_table(table, folder / "g.parquet", row_group_size=2)
    with pa.OSFile(str(folder / "h.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as w:
        w.write_table(table)
    return sorted(folder.iterdir())


def test_every_format_reads_the_same_rows(tmp_path: Path) -> None:
    files = write_all(tmp_path)
    assert len(files) == 8
    for file in files:
        assert rows_of(file) == ROWS, file
    assert rows_of(tmp_path) == ROWS * 8
    assert rows_of(tmp_path / "[ab].*") == ROWS * 2
    assert rows_of(str(tmp_path / "**" / "*.parquet")) == ROWS


def test_csv_cells_are_text_and_lists_in_them_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        table = csv.writer(stream)
        table.writerows([["id", "prompt", "candidates", "one", "two", "note"]])
        table.writerow(["x", "Why,\n«so»?", '["a", {"text": "b"}]', "1", "[2]", ""])
        table.writerow(["", "[1, 2]", "", "1", "2", "kept"])
    first, second = list(read_inputs(str(path)))
    assert not isinstance(first, BadRow)
    assert not isinstance(second, BadRow)
    assert (first.prompt.id, first.prompt.text) == ("x", "Why,\n«so»?")
    assert texts(first.prompt) == ["a", "b"]
    assert (second.prompt.id, second.prompt.text, second.prompt.given) == ("4", "[1, 2]", ())
    [named, _] = read_prompts(str(path), Fields(candidates="one,two"))
    assert isinstance(named, Prompt)
    assert texts(named) == ["1", "[2]"]


def test_candidates_of_a_csv_that_are_no_json_are_told_how_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,candidates\nq,['a' 'b']\n")
    [bad] = read_prompts(str(tmp_path / "a.csv"))
    assert bad == BadRow(2, '`candidates` is no JSON list of candidates, such as ["one", "two"]')


def test_rows_of_a_csv_that_do_not_fit_its_header_are_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,b\nq,1\nq\nq,1,2\n\nq,3\n")
    found = list(read_rows(str(path)))
    assert [isinstance(row, BadRow) for row in found] == [False, True, True, False]
    assert found[1] == BadRow(3, "1 cells under a header of 2")


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_text_in_another_encoding_makes_a_bad_row_whatever_column_it_is_in(
    tmp_path: Path, name: str
) -> None:
    latin = {
        "a.csv": b'prompt,note\nq,caf\xe9\nq,"caf\xc3\xa9"\n',
        "a.json": b'[{"prompt": "q", "note": "\xe9"}, {"prompt": "q", "note": "caf\xc3\xa9"}]',
    }
    (tmp_path / name).write_bytes(latin[name])
    bad, good = read_rows(str(tmp_path / name))
    assert isinstance(bad, BadRow)
    assert bad.reason == "its text is not valid UTF-8"
    assert isinstance(good, Row)
    assert good.data["note"] == "café"


def test_numbers_that_json_does_not_have_are_read_and_written_as_nothing(tmp_path: Path) -> None:
    lines = b'{"a": NaN, "b": -Infinity, "c": 1}\n{"a": NaN, "b": "\\ud800"}\n{"a": nan}\n'
    (tmp_path / "a.jsonl").write_bytes(lines)
    first, *bad = read_rows(str(tmp_path / "a.jsonl"))
    assert [isinstance(row, BadRow) for row in bad] == [True, True]
    assert isinstance(first, Row)
    for row in (first.data, {**first.data, "c": 2**70}):
        with Output(tmp_path / "out.jsonl") as output:
            output.write(0, row)
        written = json.loads((tmp_path / "out.jsonl").read_bytes())
        assert written == {"a": None, "b": None, "c": row["c"]}


def test_a_json_array_that_breaks_off_gives_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"prompt": "a"}, 5, {"prompt": "b"}, {"pro')
    rows = list(read_rows(str(path)))
    assert [row.data for row in rows if isinstance(row, Row)] == [{"prompt": "a"}, {"prompt": "b"}]
    reasons = [row.reason for row in rows if isinstance(row, BadRow)]
    assert reasons[0] == "not a JSON object but a int"
    assert reasons[1].startswith("not JSON: ")
    assert "nothing after it is read" in reasons[1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=4), max_size=6))
@settings(max_examples=50)
def test_json_arrays_are_read_as_they_are_whatever_the_size_of_a_chunk(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(rows, indent=1))
    with patch("bon.datasets.files._CHUNK", 3):
        assert rows_of(path) == rows


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.arrow", "a.json.gz"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b'{"prompt": "x"}\n' * 999)[:40])
    with pytest.raises(BonError, match=f"cannot read .*{name}") as error:
        list(read_rows(str(tmp_path / name)))
    assert "\n" not in str(error.value)


def test_a_folder_without_data_files_and_a_glob_without_matches_say_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "*.parquet"):
        with pytest.raises(BonError, match="there are no data files"):
            input_files(str(path))


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("in.jsonl", "in.jsonl"),
        ("in.jsonl", "./link.jsonl"),
        (".", "ranked.jsonl"),
        (".", "sub/ranked.parquet"),
        ("*.jsonl", "ranked.jsonl"),
        ("**/*.jsonl", "sub/ranked.jsonl"),
    ],
)
def test_an_output_that_would_be_read_as_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text("{}")
    Path("link.jsonl").symlink_to("in.jsonl")
    with pytest.raises(BonError, match="write to another place"):
        keep_apart(source, output)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("in.jsonl", "ranked.jsonl"),
        ("-", "in.jsonl"),
        ("in.jsonl", "/dev/null"),
        ("*.jsonl", "ranked.parquet"),
        ("*.jsonl", "sub/ranked.jsonl"),
        ("**/*.jsonl", "ranked.csv"),
        ("data", "ranked.jsonl"),
        ("data", "data/.ranked.jsonl"),
        ("data", "data/picture.svg"),
        ("odd[name].jsonl", "ranked.jsonl"),
    ],
)
def test_an_output_beside_the_input_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in ("in.jsonl", "odd[name].jsonl"):
        Path(name).write_text("{}")
    keep_apart(source, output)


def test_a_folder_that_hugging_face_saved_is_read_shard_by_shard(tmp_path: Path) -> None:
    """The layout of `datasets.Dataset.save_to_disk`: Arrow streams, named in order in state.json."""
    for split, rows in (("train", ROWS[:3]), ("test", ROWS[3:])):
        folder = tmp_path / split
        folder.mkdir()
        names = [f"data-{i:05}-of-{len(rows):05}.arrow" for i in range(len(rows))]
        for name, row in zip(names, rows, strict=True):
            table = pa.Table.from_pylist([row])
            with pa.ipc.new_stream(folder / name, table.schema) as writer:
                writer.write_table(table)
        state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "1"}
        (folder / "state.json").write_text(json.dumps(state))
        (folder / "dataset_info.json").write_text("{}")
    assert rows_of(tmp_path / "train") == ROWS[:3]
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert rows_of(tmp_path) == ROWS


def test_the_parquet_of_another_tool_is_read() -> None:
    """Written by DuckDB 2.0 (tests/data/README.md): another writer, encodings of its own."""
    prompts = list(read_prompts(str(HERE / "data" / "duckdb.parquet"), Fields(prompt="question")))
    assert all(isinstance(prompt, Prompt) for prompt in prompts)
    assert len(prompts) == 3
    first = prompts[0]
    assert isinstance(first, Prompt)
    assert (first.id, first.text, texts(first)) == ("17", "2 + 2?", ["4", "5", ""])


def test_standard_input_that_is_not_utf8_is_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b'{"prompt": "\xff"}\n{"prompt": "a"}\n'))
    monkeypatch.setattr("sys.stdin", stdin)
    bad, good = read_rows("-")
    assert isinstance(bad, BadRow)
    assert isinstance(good, Row)


# --- fields -------------------------------------------------------------------------------------


def test_fields_are_names_or_dotted_paths(tmp_path: Path) -> None:
    row = {
        "doc": {"question": "q", "gold": 7},
        "samples": [{"out": {"text": "a"}}, {"out": {"text": "b"}}],
        "a.b": "taken as it is called",
    }
    [prompt] = prompts_of(
        tmp_path,
        row,
        fields=Fields("doc.question", "samples.out.text", "a.b", "doc.gold"),
    )
    assert (prompt.text, prompt.answer, texts(prompt)) == ("q", "7", ["a", "b"])
    assert prompt.id == "taken as it is called"
    [prompt] = prompts_of(tmp_path, row, fields=Fields("doc.question", "samples.1.out.text,a.b"))
    assert texts(prompt) == ["b", "taken as it is called"]


def test_candidates_are_texts_objects_or_chats(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "c"}]
    given = ["a", {"response": "b", "tokens": 3}, chat, {"role": "assistant", "content": "d"}]
    [prompt] = prompts_of(tmp_path, {"prompt": "q", "candidates": given})
    assert texts(prompt) == ["a", "b", "c", "d"]
    assert prompt.given[1].tokens == 3


def test_rewardbench_2(tmp_path: Path) -> None:
    row = {
        "id": "0",
        "prompt": "q",
        "chosen": ["right"],
        "rejected": ["wrong", "worse", "worst"],
        "num_correct": 1,
        "subset": "Factuality",
    }
    [prompt] = prompts_of(tmp_path, row)
    assert texts(prompt) == ["right", "wrong", "worse", "worst"]
    assert [c.correct for c in prompt.given] == [True, False, False, False]
    found = next(iter(read_inputs(str(tmp_path / "rows.jsonl"))))
    assert not isinstance(found, BadRow)
    assert found.used == {"id", "prompt", "chosen", "rejected"}


def test_pairs_of_chats(tmp_path: Path) -> None:
    """HuggingFaceH4/ultrafeedback_binarized and its like."""

    def chat(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]

    row = {"prompt": "q", "prompt_id": "f0", "chosen": chat("good"), "rejected": chat("bad")}
    [prompt] = prompts_of(tmp_path, row)
    assert (prompt.id, texts(prompt)) == ("f0", ["good", "bad"])


def test_ultrafeedback(tmp_path: Path) -> None:
    completions = [
        {"model": m, "response": f"by {m}", "annotations": {"helpfulness": {"Rating": "4"}}}
        for m in ("alpaca-7b", "gpt-4")
    ]
    row = {"source": "sharegpt", "instruction": "q", "completions": completions, "models": []}
    [prompt] = prompts_of(tmp_path, row)
    assert (prompt.text, texts(prompt)) == ("q", ["by alpaca-7b", "by gpt-4"])
    found = next(iter(read_inputs(str(tmp_path / "rows.jsonl"))))
    assert not isinstance(found, BadRow)
    assert "completions" not in found.used  # it holds annotations: they are kept


@pytest.mark.parametrize(
    "arguments",
    [
        [["Question: 1+1?\nAnswer:", {"until": ["\n"]}]],
        {"gen_args_0": {"arg_0": "Question: 1+1?\nAnswer:", "arg_1": {"until": ["\n"]}}},
    ],
)
def test_samples_of_lm_eval(tmp_path: Path, arguments: object) -> None:
    row = {
        "doc_id": 12,
        "doc": {"question": "1+1?"},
        "target": "2",
        "arguments": arguments,
        "resps": [["two", "2", "3"]],
        "filtered_resps": ["2"],
        "doc_hash": "x",
    }
    [prompt] = prompts_of(tmp_path, row)
    assert (prompt.id, prompt.answer) == ("12", "2")
    assert prompt.text == "Question: 1+1?\nAnswer:"
    assert texts(prompt) == ["two", "2", "3"]


def test_chats_inside_the_arguments_of_lm_eval(tmp_path: Path) -> None:
    chat = json.dumps([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}])
    row = {"doc_id": 1, "arguments": {"gen_args_0": {"arg_0": [chat]}}, "resps": [["a"], ["b"]]}
    [prompt] = prompts_of(tmp_path, row)
    assert [m.role for m in prompt.messages] == ["system", "user"]
    assert texts(prompt) == ["a", "b"]


@pytest.mark.parametrize(
    "row",
    [
        {"arguments": [["q", " a"]], "resps": [[[-1.5, False]]]},
        {
            "arguments": {
                "gen_args_0": {"arg_0": "q", "arg_1": " yes"},
                "gen_args_1": {"arg_0": "q", "arg_1": " no"},
            },
            "resps": [[["-1.2", "True"]], [["-3.4", "False"]]],  # it writes them as texts
        },
    ],
)
def test_samples_of_lm_eval_without_texts_are_bad_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps({"doc_id": 1, "target": 0, **row}))
    [bad] = read_prompts(str(path))
    assert isinstance(bad, BadRow)
    assert "these responses are log-likelihoods" in bad.reason


# --- writing ------------------------------------------------------------------------------------


@given(
    st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))),
    st.sets(st.integers(0, 39)),
    st.sampled_from([0, 150, 10_000]),
)
@settings(max_examples=80)
def test_rows_are_written_in_input_order_however_much_is_spilled(
    arrivals: list[int], skipped: set[int], held: int
) -> None:
    stream = io.BytesIO()
    with patch.object(writing, "HELD_BYTES", held):
        writer = OrderedWriter(stream)
        arrived: set[int] = set()
        for position in arrivals:
            if position in skipped:
                writer.skip(position)
            else:
                writer.write(position, {"row": position, "text": "x" * 20})
            arrived.add(position)
            ready = next((i for i in range(len(arrivals)) if i not in arrived), len(arrivals))
            lines = stream.getvalue().splitlines()
            expected = [i for i in range(ready) if i not in skipped]
            assert [orjson.loads(line)["row"] for line in lines] == expected
        writer.finish()


@given(st.permutations(range(12)), st.integers(0, 11), st.sampled_from([0, 60, 10_000]))
@settings(max_examples=40)
def test_when_it_ends_early_what_is_complete_is_written_in_order(
    arrivals: list[int], count: int, held: int
) -> None:
    stream = io.BytesIO()
    with patch.object(writing, "HELD_BYTES", held):
        writer = OrderedWriter(stream)
        for position in arrivals[:count]:
            writer.write(position, {"row": position})
        writer.finish()
    rows = [orjson.loads(line)["row"] for line in stream.getvalue().splitlines()]
    assert rows == sorted(arrivals[:count])


ENDINGS = [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".parquet", ".ndjson"]

flat_rows = st.lists(
    st.fixed_dictionaries(
        {"a": st.integers(-(2**53), 2**53), "b": st.text(max_size=9)},
        optional={
            "c": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "d": st.lists(st.text(max_size=3), max_size=3),
            "e": st.fixed_dictionaries({"x": st.booleans(), "y": st.none() | st.integers(0, 9)}),
        },
    ),
    min_size=1,
    max_size=7,
)


def without_nothing(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its empty fields: a table cannot tell them from absent ones."""
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize("ending", ENDINGS)
@given(flat_rows, st.sampled_from([1, 2, 1000]))
@settings(max_examples=15)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, ending: str, rows: list[dict[str, Any]], batch: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"out{ending}"
    with patch.object(writing, "_BATCH", batch), Output(path) as output:
        for position in reversed(range(len(rows))):
            output.write(position, rows[position])
    back = rows_of(path)
    assert [without_nothing(row) for row in back] == [without_nothing(row) for row in rows]


@given(flat_rows)
@settings(max_examples=20)
def test_csv_is_read_back_as_text_and_json(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "out.csv"
    with Output(path) as output:
        for position, row in enumerate(rows):
            output.write(position, row)
    for back, row in zip(rows_of(path), rows, strict=True):
        assert back["b"] == row["b"]
        assert json.loads(back["a"]) == row["a"]
        for name in ("d", "e"):
            assert (json.loads(back[name]) if back.get(name) else None) == row.get(name)


@pytest.mark.parametrize("ending", [*ENDINGS, ".csv", ".tsv.gz"])
def test_results_are_read_back_from_any_format(tmp_path: Path, ending: str) -> None:
    results = [play(n=n, identity=str(n)) for n in (1, 2, 5)]
    results.append(replace(play(n=1), candidates=(), groups=(), winner=None, ranking=(), error="-"))
    results.append(replace(results[0], cut_short="12 calls"))
    with Output(tmp_path / f"out{ending}") as output:
        for position, result in enumerate(results):
            output.write(position, {**result_to_json(result), "own": {"column": position}})
    assert list(read_results(tmp_path / f"out{ending}")) == results


def test_columns_of_other_kinds_survive_parquet_or_become_text(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "time": datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
            "exact": Decimal("1.50"),
            "raw": b"\xff",
        },
        {"mixed": 5, "empty": {}, "nothing": [{}], "big": 2**80},
        {"mixed": "five", "empty": {"now": ["not"]}, "big": 1, "late": 1.5},
    ]
    with Output(tmp_path / "out.parquet") as output:
        for position, row in enumerate(rows):
            output.write(position, row)
    first, second, third = rows_of(tmp_path / "out.parquet")
    assert {name: first[name] for name in ("time", "exact", "raw")} == rows[0]
    assert (second["mixed"], third["mixed"]) == ("5", '"five"')
    assert (second["empty"], third["empty"]) == ({"now": None}, {"now": ["not"]})
    assert second["nothing"] == "[{}]"
    assert (third["late"], first["late"]) == (1.5, None)
    with Output(tmp_path / "out.jsonl") as output:
        for position, row in enumerate(rows):
            output.write(position, row)
    first, second, _ = rows_of(tmp_path / "out.jsonl")
    assert first == {"time": "2024-02-29T12:30:00+00:00", "exact": "1.50", "raw": "/w=="}
    assert second["big"] in (2**80, float(2**80))


def test_times_in_nanoseconds_are_read(tmp_path: Path) -> None:
    column = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns"))
    pq.write_table(pa.table({"at": column}), tmp_path / "a.parquet")
    [row] = rows_of(tmp_path / "a.parquet")
    assert row["at"] == datetime(2023, 11, 14, 22, 13, 20, 123456)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for ending in ENDINGS:
        for name in ("one", "two"):
            with Output(tmp_path / f"{name}{ending}") as output:
                for position, row in enumerate(ROWS):
                    output.write(position, row)
        one, two = (tmp_path / f"{name}{ending}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


# --- replacing a file -----------------------------------------------------------------------------


def write_until(path: Path, *values: object, fresh: bool = True) -> None:
    """Write rows until one of them is an exception, which is raised, or a function, which is called."""
    with Output(path, fresh=fresh) as output:
        for position, value in enumerate(values):
            if isinstance(value, type):
                raise value
            if callable(value):
                value()
            elif value is not None:
                output.write(position, {"a": value})


def test_fresh_json_lines_grow_in_place_and_the_rest_appears_at_the_end(tmp_path: Path) -> None:
    for name, grows in (("a.jsonl", True), ("a.parquet", False), ("a.jsonl.gz", False)):
        with Output(tmp_path / name) as output:
            output.write(0, {"a": 1})
            assert (tmp_path / name).exists() is grows
        assert rows_of(tmp_path / name) == [{"a": 1}]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_fresh_run_that_is_interrupted_leaves_what_is_complete(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_until(tmp_path / name, 0, None, 2, KeyboardInterrupt)
    assert rows_of(tmp_path / name) == [{"a": 0}, {"a": 2}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz"])
def test_a_run_taken_up_again_replaces_the_output_at_the_end_or_not_at_all(
    tmp_path: Path, name: str
) -> None:
    with Output(tmp_path / name) as output:
        output.write(0, {"a": "old"})
    with pytest.raises(KeyboardInterrupt):
        write_until(tmp_path / name, "new", KeyboardInterrupt, fresh=False)
    assert rows_of(tmp_path / name) == [{"a": "old"}]
    with Output(tmp_path / name, fresh=False) as output:
        output.write(0, {"a": "new"})
        assert rows_of(tmp_path / name) == [{"a": "old"}]
    assert rows_of(tmp_path / name) == [{"a": "new"}]
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_folder_that_vanishes_is_told(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    with pytest.raises(BonError, match=r"cannot write .*then run with --resume"):
        write_until(folder / name, 0, lambda: folder.rename(tmp_path / "elsewhere"), 1)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    with pytest.raises(BonError, match=r"cannot write .*No space left on device"):
        write_until(tmp_path / "a.jsonl", 0)


def test_an_ending_that_names_no_format_is_told(tmp_path: Path) -> None:
    for name in ("out.xlsx", "out.arrow", "out.parquet.gz"):  # Parquet compresses what it holds
        with pytest.raises(BonError, match="cannot tell the format"):
            Output(tmp_path / name)
    assert not list(tmp_path.iterdir())
