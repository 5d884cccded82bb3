"""The command line on fake engines: what it prints, what it leaves, and every kind of bad input."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from fakes import Engines, FakeBackend, boxes, larger_number, numbers_from_the_seed, reply

from bon import api, demo
from bon.cli import main
from bon.generation import PromptTooLong, Reply, Request, models
from bon.types import EngineError

HEAVY = {"asyncio", "jinja2", "matplotlib", "networkx", "numpy", "orjson", "rich"}
ENGINE = {"huggingface_hub", "tokenizers", "torch", "transformers", "vllm"}


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs `bon` in this process, in a folder of its own, on fake engines."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.policy = FakeBackend(numbers_from_the_seed)
        self.judge = FakeBackend(larger_number)
        self.engines = Engines({"tiny-policy": self.policy, "tiny-rrm": self.judge})
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        monkeypatch.setattr(api, "engine", self.engines)
        monkeypatch.setattr(models, "BUNDLED", folder / "bundled")
        monkeypatch.setattr(demo, "BUNDLED", folder / "bundled")
        for name in self.engines.backends:
            (folder / "bundled" / name).mkdir(parents=True)
            (folder / "bundled" / name / "config.json").write_text("{}")

    def __call__(self, *arguments: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["bon", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self._capsys.readouterr()
        code = stop.value.code
        return Done(0 if code is None else int(code), out, err)

    def write(self, *rows: dict[str, Any] | str, name: str = "prompts.jsonl") -> str:
        lines = [row if isinstance(row, str) else orjson.dumps(row).decode() for row in rows]
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        return name

    def read(self, name: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    def fails(self, *arguments: str, code: int = 2) -> str:
        """The one line on stderr of a command that must fail without a word on stdout."""
        done = self(*arguments)
        assert done.code == code, done.err
        assert done.out == ""
        [line] = done.err.splitlines()
        assert line.startswith("Error: ")
        return line


@pytest.fixture
def bon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


# --- bon run ----------------------------------------------------------------------------------------


def test_a_prompt_gives_one_json_object_on_a_pipe(bon: Shell) -> None:
    done = bon("run", "question", "-n", "4")
    assert done.code == 0
    [row] = done.rows
    assert row["schema"] == 1
    assert row["prompt"] == [{"role": "user", "content": "question"}]
    assert len(row["candidates"]) == 4
    assert row["winner"] in range(4)
    assert "1 prompts, " in done.err


def test_on_a_terminal_the_winner_is_shown_to_a_person(
    bon: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = bon("run", "question", "-n", "4")
    assert done.code == 0
    assert "The answer is" in done.out
    assert "schema" not in done.out


def test_json_is_alone_on_stdout_also_on_a_terminal(
    bon: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    [row] = bon("run", "question", "--json").rows
    assert row["error"] is None


def test_a_file_of_prompts_gives_a_file_of_results_in_input_order(bon: Shell) -> None:
    names = [f"p{i}" for i in range(6)]
    path = bon.write(*({"id": name, "prompt": f"about {name}"} for name in names))
    done = bon("run", "-f", path, "-o", "out/results.jsonl", "--share-device")
    assert (done.code, done.out) == (0, "")
    assert [row["id"] for row in bon.read("out/results.jsonl")] == names


def test_results_go_to_file_and_stdout_where_both_are_asked_for(bon: Shell) -> None:
    done = bon("run", "question", "-o", "results.jsonl", "--json")
    assert done.rows == bon.read("results.jsonl")


def test_settings_reach_policy_and_judge(bon: Shell) -> None:
    done = bon(
        *("run", "question", "-n", "3", "--temperature", "0.7", "--top-p", "0.9"),
        *("--max-tokens", "50", "--system", "Be brief.", "--judge-template", "rrm"),
        *("--judge-temperature", "0.2", "--judge-max-tokens", "60", "--criteria", "Rhymes."),
        *("--strategy", "round-robin:rule=both", "--group-by", "none"),
    )
    assert done.code == 0
    [sampled] = bon.policy.requests
    drawing = sampled.sampling
    assert (drawing.n, drawing.temperature, drawing.top_p, drawing.max_tokens) == (3, 0.7, 0.9, 50)
    assert sampled.chat.quoted == ("Be brief.", "question")
    assert len(bon.judge.requests) == 6
    judged = bon.judge.requests[0]
    assert (judged.sampling.temperature, judged.sampling.max_tokens) == (0.2, 60)
    assert "Rhymes." in judged.chat.messages[0].content
    assert done.rows[0]["provenance"]["strategy"] == "round-robin:rule=both"


def test_engine_arguments_are_numbers_truths_objects_or_text(
    bon: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def engine(role: str, model: str, engine_args: Any, observer: Any) -> Any:
        seen.append(engine_args)
        return bon.engines(role, model, engine_args, observer)

    monkeypatch.setattr(api, "engine", engine)
    pairs = ["max-model-len=4096", "enforce_eager=True", "dtype=bfloat16", 'x={"a": [1]}']
    arguments = [part for pair in pairs for part in ("--policy-engine-arg", pair)]
    assert bon("run", "question", *arguments).code == 0
    assert seen == [
        {"max_model_len": 4096, "enforce_eager": True, "dtype": "bfloat16", "x": {"a": [1]}},
        {},
    ]


@pytest.mark.parametrize("ending", ["svg", "json"])
def test_graphs_are_written_one_a_prompt(bon: Shell, ending: str) -> None:
    path = bon.write({"id": "a/b", "prompt": "p"}, {"id": "plain", "prompt": "q"})
    done = bon("run", "-f", path, "--graph", "graphs", "--graph-format", ending)
    assert done.code == 0
    files = sorted(file.name for file in (bon.folder / "graphs").iterdir())
    assert len(files) == 2
    assert files[1] == f"plain.{ending}"
    assert all(name.endswith(f".{ending}") for name in files)


def test_a_graph_that_cannot_be_drawn_costs_no_result(bon: Shell) -> None:
    (bon.folder / "graphs" / "a.svg").mkdir(parents=True)
    path = bon.write({"id": "a", "prompt": "p"}, {"id": "b", "prompt": "q"})
    done = bon("run", "-f", path, "-o", "results.jsonl", "--graph", "graphs")
    assert done.code == 2
    assert "Error: cannot write graphs/a.svg: " in done.err
    assert [row["id"] for row in bon.read("results.jsonl")] == ["a", "b"]
    assert (bon.folder / "graphs" / "b.svg").is_file()


def test_every_result_has_its_diagnostics_and_the_run_theirs_in_words(bon: Shell) -> None:
    bon.judge.answer = lambda request: reply(f"<think>hm</think>{boxes(1)}")
    path = bon.write(*[{"prompt": f"question {i}"} for i in range(20)])
    done = bon("run", "-f", path, "-n", "2", "--strategy", "knockout:rule=both")
    assert [row["diagnostics"]["first_slot"]["hits"] for row in done.rows] == [2] * 20
    assert "· The judge preferred the first slot in 100% of decided pairs" in done.err


def test_quiet_says_nothing_but_the_results(bon: Shell) -> None:
    done = bon("run", "question", "--quiet")
    assert (done.err, len(done.rows)) == ("", 1)


# --- some prompts fail --------------------------------------------------------------------------------


def test_bad_rows_are_told_with_their_numbers_and_the_rest_is_written(bon: Shell) -> None:
    path = bon.write({"prompt": "one"}, "no JSON", {"text": "two"}, {"prompt": ""}, {"prompt": "3"})
    done = bon("run", "-f", path)
    assert done.code == 3
    assert [row["id"] for row in done.rows] == ["1", "5"]
    for line, reason in ((2, "not JSON"), (3, "`prompt` is missing"), (4, "the prompt is empty")):
        [told] = [text for text in done.err.splitlines() if f"line {line}:" in text]
        assert reason in told
        assert told.endswith("; skipped")


def test_a_prompt_that_cannot_be_sampled_is_a_result_with_its_error(bon: Shell) -> None:
    def refuse_one(request: Request) -> Reply:
        if request.chat.quoted == ("long",):
            raise PromptTooLong("9000 tokens leave no room")
        return numbers_from_the_seed(request)

    bon.policy.answer = refuse_one
    path = bon.write({"id": "a", "prompt": "long"}, {"id": "b", "prompt": "short"})
    done = bon("run", "-f", path, "--graph", "graphs", "--graph-format", "json")
    assert done.code == 3
    failed, fine = done.rows
    assert failed["error"] == "cannot sample: 9000 tokens leave no room"
    assert fine["error"] is None
    assert "prompt a: cannot sample: 9000 tokens leave no room" in done.err
    assert [file.name for file in (bon.folder / "graphs").iterdir()] == ["b.json"]


def test_what_a_row_calls_itself_cannot_drive_the_terminal(bon: Shell) -> None:
    def refuse(request: Request) -> Reply:
        raise PromptTooLong("9000 tokens leave no room")

    bon.policy.answer = refuse
    path = bon.write({"id": "a\x1b[2J\nprompt b: fine", "prompt": "p"}, {"id": "c", "\x1b[1m": 1})
    done = bon("run", "-f", path)
    assert "\x1b" not in done.err
    assert "prompt a prompt b: fine: cannot sample" in done.err


def test_only_bad_rows_start_no_engine(bon: Shell) -> None:
    assert bon("run", "-f", bon.write("no JSON"), "-o", "results.jsonl").code == 3
    assert bon.read("results.jsonl") == []
    assert bon.engines.log == []


# --- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "give one prompt, or a file of prompts with -f"),
        (["run", "q", "-f", "prompts.jsonl"], "give one prompt, or a file of prompts with -f"),
        (["run", ""], "the prompt is empty"),
        (["run", " \n"], "the prompt is empty"),
        (["run", "-f", "absent.jsonl"], "cannot read absent.jsonl: No such file"),
        (["run", "q", "-n", "0"], "Invalid value for '-n': 0 is not in the range x>=1"),
        (["run", "q", "-n", "many"], "Invalid value for '-n': 'many' is not a valid integer"),
        (["run", "q", "--strategy", "knockdown"], "unknown strategy 'knockdown'; known: "),
        (["run", "q", "--strategy", "knockout:rules=both"], "no parameter 'rules'; known: "),
        (["run", "q", "--strategy", "knockout:rule=best"], "unknown match rule 'best'; known: "),
        (["run", "q", "--strategy", "knockout:rule=votes:0"], "votes:K needs K of at least 1"),
        (
            ["run", "q", "--judge-template", "rmm"],
            "unknown judge template 'rmm'; known: rm-r1, rrm",
        ),
        (["run", "q", "--group-by", "words"], "unknown grouping 'words'; known: exact, boxed"),
        (
            ["run", "q", "--graph", "g", "--graph-format", "gif"],
            "unknown graph format 'gif'; known: ",
        ),
        (["run", "q", "--policy", "nope"], "there is no model 'nope': name a folder"),
        (["run", "q", "--judge", "nope"], "a bundled one (tiny-policy, tiny-rrm)"),
        (["run", "q", "--policy", "bundled"], "not a model in Hugging Face format"),
        (["run", "q", "--policy-engine-arg", "eager"], "'eager': write name=value"),
        (["run", "q", "--temperature", "-1"], "Invalid value for '--temperature'"),
        (["run", "q", "--polcy", "x"], "No such option"),
        (["rnu", "q"], "No such command 'rnu'"),
        (["sample"], "give one prompt, or a file of prompts with -f"),
        (["sample", "q", "--policy", "nope"], "there is no model 'nope'"),
        (["show", "absent.jsonl"], "cannot read absent.jsonl"),
        (["demo", "--problems", "0"], "ask for 1 to 2"),
        (["demo", "--problems", "3"], "there are 2 bundled problems: ask for 1 to 2"),
        (["demo", "-n", "0"], "Invalid value for '-n'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    bon: Shell, arguments: list[str], message: str
) -> None:
    bon.write({"prompt": "p"}, {"prompt": "q"}, name="bundled/problems.jsonl")
    assert message in bon.fails(*arguments)
    assert bon.engines.log == []


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_file_without_prompts_is_an_error(bon: Shell, lines: list[str]) -> None:
    path = bon.write(*lines)
    assert "there is no prompt in prompts.jsonl" in bon.fails("run", "-f", path)


def test_unknown_names_list_the_known_ones(bon: Shell) -> None:
    strategies = bon.fails("run", "q", "--strategy", "knockdown")
    assert "knockout" in strategies
    assert "round-robin" in strategies
    assert "rule" in bon.fails("run", "q", "--strategy", "knockout:rules=both")
    assert "votes:3" in bon.fails("run", "q", "--strategy", "knockout:rule=best")
    formats = bon.fails("run", "q", "--graph", "g", "--graph-format", "gif")
    assert all(name in formats for name in ("svg", "png", "graphml", "json"))


@pytest.mark.parametrize("option", ["-o", "--graph"])
def test_an_output_that_cannot_be_written_is_told_before_any_work(bon: Shell, option: str) -> None:
    (bon.folder / "file").write_text("")
    assert "cannot write file/below" in bon.fails("run", "q", option, "file/below")
    assert bon.engines.log == []


def test_a_folder_is_no_output(bon: Shell) -> None:
    assert "cannot write bundled: Is a directory" in bon.fails("run", "q", "-o", "bundled")
    assert "cannot write bundled: Is a directory" in bon.fails("sample", "q", "-o", "bundled")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", ["run", "sample"])
def test_a_disk_that_is_full_ends_the_run_with_one_line(bon: Shell, command: str) -> None:
    line = bon.fails(command, "q", "-q", "-o", "/dev/full", code=1)
    assert "No space left on device" in line


@pytest.mark.parametrize("command", ["run", "sample"])
def test_without_vllm_the_line_says_how_to_install_it(
    bon: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(bon.folder)
    monkeypatch.setattr(models, "BUNDLED", bon.folder / "bundled")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "vllm" else find_spec(name)
    )
    line = bon.fails(command, "q", "-q")
    assert "vLLM is not installed: pip install 'bon[vllm]'" in line


def test_an_engine_that_does_not_start_is_exit_code_1(
    bon: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise EngineError("cannot load tiny-policy: out of memory")

    monkeypatch.setattr(api, "engine", broken)
    for command in ("run", "sample"):
        line = bon.fails(command, "q", "-q", code=1)
        assert line == "Error: cannot load tiny-policy: out of memory"


@pytest.mark.parametrize("command", [["run", "q"], ["sample", "q"], ["demo", "--problems", "1"]])
def test_an_engine_that_dies_is_exit_code_1_and_one_line(bon: Shell, command: list[str]) -> None:
    def die(request: Request) -> Reply:
        raise EngineError("the engine of tiny-policy died")

    bon.policy.answer = die
    bon.write({"prompt": "p"}, name="bundled/problems.jsonl")
    assert "the engine of tiny-policy died" in bon.fails(*command, "-q", code=1)


# --- bon sample -----------------------------------------------------------------------------------------


def test_what_is_sampled_today_is_judged_tomorrow(bon: Shell) -> None:
    path = bon.write({"id": "a", "prompt": "p", "answer": "3"}, {"id": "b", "prompt": "q"})
    assert bon("sample", "-f", path, "-n", "3", "-o", "candidates.jsonl").code == 0
    assert bon.engines.log == ["start tiny-policy", "stop tiny-policy"]
    together = bon("run", "-f", path, "-n", "3").rows
    bon.engines.log.clear()
    apart = bon("run", "-f", "candidates.jsonl").rows
    assert bon.engines.log == ["start tiny-rrm", "stop tiny-rrm"]
    assert apart == together


def test_a_prompt_that_cannot_be_sampled_is_left_out(bon: Shell) -> None:
    def refuse_one(request: Request) -> Reply:
        if request.chat.quoted == ("long",):
            raise PromptTooLong("too long")
        return numbers_from_the_seed(request)

    bon.policy.answer = refuse_one
    path = bon.write({"id": "a", "prompt": "long"}, {"id": "b", "prompt": "short"})
    done = bon("sample", "-f", path)
    assert done.code == 3
    assert [row["id"] for row in done.rows] == ["b"]
    assert "prompt a: cannot sample: too long; left out" in done.err


# --- bon demo and bon doctor ------------------------------------------------------------------------------


def test_the_demo_prints_its_figures_and_leaves_results_and_a_picture(bon: Shell) -> None:
    rows = [{"prompt": f"question {i}", "answer": "none"} for i in range(4)]
    bon.write(*rows, name="bundled/problems.jsonl")
    done = bon("demo", "--problems", "4", "-n", "3", "--json", "-q")
    assert (done.code, done.err) == (0, "")
    figures = orjson.loads(done.out)
    assert [figures[key] for key in ("random", "majority", "knockout", "oracle")] == [0.0] * 4
    # a knockout of 3 is 2 calls, a round robin in both orders 6
    each = {name: cost["comparisons"] for name, cost in figures["by_strategy"].items()}
    assert (each["knockout"], each["round_robin"]) == (4 * 2, 4 * 6)
    assert figures["comparisons"] == sum(each.values())
    assert {"round_robin", "adaptive", "judge_tokens", "void_rate", "seconds"} <= set(figures)
    left = {file.name for file in (bon.folder / "bon-demo").iterdir()}
    assert left == {"accuracy.png", "knockout.jsonl", "adaptive.jsonl", "round-robin.jsonl"}
    assert len(bon.read("bon-demo/knockout.jsonl")) == 4


def test_doctor_says_what_is_missing(bon: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from bon.cli import doctor

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = bon("doctor", "--json")
    assert done.code == 1
    found = {finding["what"]: finding for finding in orjson.loads(done.out)}
    assert found["Python"]["ok"]
    assert found["models"]["ok"]
    assert not found["vLLM"]["ok"]
    assert "pip install 'bon[vllm]'" in found["vLLM"]["says"]
    assert "missing vLLM" in bon("doctor").out


# --- processes: help, interruption, closed pipes ------------------------------------------------------------


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LOADED = """
    import sys
    from bon.cli import main
    try:
        main()
    finally:
        print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_imports_nothing_heavy_and_lists_every_command(arguments: list[str]) -> None:
    done = python(LOADED, *arguments)
    assert done.returncode == 0
    assert not (HEAVY | ENGINE) & set(done.stderr.split())
    for command in ("run", "sample", "demo", "show", "doctor"):
        assert f"  {command} " in done.stdout


def test_the_help_of_a_command_imports_no_engine_and_nothing_that_draws() -> None:
    done = python(LOADED, "run", "--help")
    assert done.returncode == 0
    assert "bon run" in done.stdout
    assert not (ENGINE | {"matplotlib", "networkx"}) & set(done.stderr.split())


@pytest.mark.parametrize("command", ["run", "sample", "demo", "show", "doctor"])
def test_every_command_has_help(bon: Shell, command: str) -> None:
    done = bon(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: bon {command} ")


FAKED = """
    import asyncio, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from fakes import Engines, FakeBackend, larger_number, numbers_from_the_seed
    from bon import api, draining
    draining.SECONDS = 0.5
    from bon.cli import main
    from bon.generation import models
    models.BUNDLED = Path({folder!r}) / "bundled"
    class Judge(FakeBackend):
        async def generate(self, request):
            if request.chat.quoted[0] == "endless":
                await asyncio.sleep(3600)
            return await super().generate(request)
    policy, judge = FakeBackend(numbers_from_the_seed), Judge(larger_number)
    api.engine = Engines({{"tiny-policy": policy, "tiny-rrm": judge}})
    main()
"""


def faked(folder: Path) -> str:
    tests = str(Path(__file__).parent)
    return textwrap.dedent(FAKED.format(tests=tests, folder=str(folder)))


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_interrupted_the_complete_rows_are_on_disk(bon: Shell) -> None:
    path = bon.write({"id": "a", "prompt": "p"}, {"id": "b", "prompt": "endless"})
    results = bon.folder / "results.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", faked(bon.folder), "run", "-f", path, "-o", str(results)],
        cwd=bon.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: results.exists() and results.read_bytes().endswith(b"\n"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "interrupted; what was complete is on disk"
    assert "Traceback" not in err
    assert "Warning" not in err
    assert [row["id"] for row in bon.read("results.jsonl")] == ["a"]


def test_a_reader_that_goes_away_is_no_traceback(bon: Shell) -> None:
    path = bon.write(*({"prompt": f"p{i}"} for i in range(3)))
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", faked(bon.folder), "run", "-f", path],
        cwd=bon.folder,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert "Exception" not in process.stderr
