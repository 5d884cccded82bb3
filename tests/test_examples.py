"""Every Python example in the README and in docstrings, run as pasted; those with models on one pair of engines."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.util
import re
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
from result_factory import play
from serving import serving

import bon
from bon.demo import problems
from bon.findings import findings
from bon.strategies.knockout import knockout
from bon.types import Outcome, Verdict

Test = TypeVar("Test", bound=Callable[..., None])
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

live = [
    pytest.mark.live,
    # what vLLM leaves open when an engine stops is not ours to mend
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]


def with_marks(marks: list[pytest.MarkDecorator]) -> Callable[[Test], Test]:
    """The test under all of them."""
    return lambda test: reduce(lambda marked, mark: mark(marked), marks, test)


def documented(source: Path) -> Iterator[str]:
    """The examples in the docstrings of a module: indented blocks that call something."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            for block in re.findall(r"(?:^ {4}.*(?:\n|\Z)|^\n)+", text, re.MULTILINE):
                code = textwrap.dedent(block).strip()
                if re.search(r"^(from bon|import bon|\w+ = \w+\()", code, re.MULTILINE):
                    yield code


def examples() -> list[Any]:
    found = [("README", code) for code in FENCED.findall(README)]
    for source in sorted((ROOT / "bon").rglob("*.py")):
        name = source.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        found += [(name.removesuffix(".__init__"), code) for code in documented(source)]
    return [
        pytest.param(name, code, id=f"{name} {i}", marks=live if "tiny-rrm" in code else [])
        for i, (name, code) in enumerate(found, start=1)
    ]


def taken_for_granted(module: str) -> dict[str, Any]:
    """What an example does not say again: names of its own module, and what its reader has."""
    first, second = np.array([0, 1, 2]), np.array([1, 2, 3])
    known = {
        "chain": SimpleNamespace(invoke=lambda question: f"{question} 9"),
        "program": lambda question: SimpleNamespace(answer=f"{question} 9"),
        "knockout": knockout,
        "judge": lambda first, second: Verdict(Outcome.FIRST if first < second else Outcome.SECOND),
        "results": [play(seed=str(i), identity=str(i)) for i in range(20)],
        "findings": findings,
        "first": first,
        "second": second,
        "score": np.ones(3),
    }
    if module != "README":
        known |= vars(importlib.import_module(module))
    return known | {"__name__": "__main__"}


@contextmanager
def with_a_server(code: str) -> Iterator[str]:
    """The example, where it asks the README's server for something while there is one, on a free port."""
    address = "http://localhost:8000"
    if address not in code:
        yield code
        return
    with serving() as server:
        yield code.replace(address, server.url)


@pytest.fixture(scope="module")
def engines() -> Iterator[None]:
    """What an example starts stays up for the next one, for somebody else holds it, too."""
    with bon.BestOfN(policy="tiny-policy", judge="tiny-rrm", n=8) as held:
        assert held(problems(12)[10].text).comparisons
        yield
    bon.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # what vLLM leaves open is found here, not in the test that comes next


@pytest.mark.parametrize(("module", "code"), examples())
def test_an_example_runs_as_pasted(
    module: str, code: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    if "tiny-rrm" in code:
        request.getfixturevalue("engines")
    names = taken_for_granted(module)
    with with_a_server(code) as code:
        exec(compile(code, module, "exec"), names)
    if "print(" in code:
        assert capsys.readouterr().out.strip()
    if "best" in names:
        assert names["best"]("2 + 2 =").text
    if "tournament =" in code:
        assert names["tournament"].order == (0,)


def test_the_section_on_wrapping_begins_with_three_lines() -> None:
    section = README.split("## Wrap a generator\n")[1]
    first = FENCED.search(section)
    assert first is not None
    assert len([line for line in first[1].splitlines() if line.strip()]) == 3


# --- as a script ----------------------------------------------------------------------------------------


@with_marks(live)
def test_a_script_that_fails_has_its_answer_and_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # without `if __name__ == "__main__"`, as people write them
    script.write_text(
        "import bon\n"
        'print(bon.rank("3 + 4 =", ["3 + 4 = 7", "3 + 4 = 8"], judge="tiny-rrm").text)\n'
        "raise ZeroDivisionError('of its own')\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    assert output.strip(), errors
    assert errors.strip().endswith("ZeroDivisionError: of its own")
    for _ in range(50):  # the operating system takes a moment to clear away what has ended
        left = subprocess.run(
            ["ps", "-o", "pid=,args=", "-s", str(process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        if not left.strip():
            break
        time.sleep(0.1)
    assert not left.strip()
