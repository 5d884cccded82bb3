"""Judge templates: the bundled ones, and files of the user's own with everything that can be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon.generation import SLOT_PATTERN, slot
from bon.judge.template import bundled_templates, default_template, load_template
from bon.types import BonError, Outcome

OWN = r"""
system = "You judge.{% if criteria %} Above all: {{ criteria }}{% endif %}"
user = "Q: {{ query }} A: {{ first }} B: {{ second }}"

[verdict]
pattern = 'winner: (A|B|both)'
first = "A"
second = "B"
tie = "both"

[sampling]
temperature = 0.5
top_p = 0.9
max_tokens = 64

[thinking]
close = "</think>"
"""


def own(folder: Path, old: str = "", new: str = "") -> str:
    """A template file, with `old` in it replaced."""
    assert old in OWN
    path = folder / "mine.toml"
    path.write_text(OWN.replace(old, new) if old else OWN)
    return str(path)


@pytest.mark.parametrize("name", bundled_templates())
def test_bundled_templates_show_query_and_both_responses_once_and_in_order(name: str) -> None:
    chat = load_template(name).chat("why?", "one", "two")
    shown = "".join(message.content for message in chat.messages)
    assert re.findall(SLOT_PATTERN, shown) == ["0", "1", "2"]
    assert chat.quoted == ("why?", "one", "two")


@pytest.mark.parametrize("name", ["rrm", "rm-r1"])
def test_criteria_are_shown_where_there_are_any(name: str) -> None:
    template = load_template(name)
    plain = template.chat("q", "a", "b").messages
    asked = template.chat("q", "a", "b", "Prefer rhymes.").messages
    assert "Prefer rhymes." in asked[0].content
    assert "criteria:" not in plain[0].content
    assert plain[1] == asked[1]


@given(st.text(), st.text(), st.text())
def test_untrusted_texts_are_never_rendered(query: str, first: str, second: str) -> None:
    template = load_template("rrm")
    chat = template.chat(query, first, second)
    assert chat.messages == template.chat("", "", "").messages
    assert chat.quoted == (query, first, second)


def test_jinja_in_a_candidate_stays_text() -> None:
    chat = load_template("rrm").chat("{{ 7 * 7 }}", "{% for x in y %}", "{{ first }}")
    assert "49" not in "".join(message.content for message in chat.messages)
    assert chat.quoted[2] == "{{ first }}"


@pytest.mark.parametrize(
    ("model", "template"),
    [
        ("Reward-Reasoning/RRM-7B", "rrm"),
        ("gaotang/RM-R1-Qwen2.5-Instruct-7B", "rm-r1"),
        ("tiny-rrm", "tiny"),
        ("/models/tiny-rrm-2", "tiny"),
        ("Qwen/Qwen2.5-7B-Instruct", "rrm"),
    ],
)
def test_the_template_follows_from_the_judges_name(model: str, template: str) -> None:
    assert default_template(model) == template


def test_a_file_of_ones_own_is_a_template(tmp_path: Path) -> None:
    template = load_template(own(tmp_path))
    assert template.name == "mine"
    assert (template.temperature, template.top_p, template.max_tokens) == (0.5, 0.9, 64)
    assert template.close == "</think>"
    assert set(template.labels.values()) == {Outcome.FIRST, Outcome.SECOND, Outcome.TIE}
    user = template.chat("q", "a", "b").messages[1]
    assert user.content == f"Q: {slot(0)} A: {slot(1)} B: {slot(2)}"


def test_without_a_system_text_there_is_no_system_message(tmp_path: Path) -> None:
    path = Path(own(tmp_path))
    path.write_text("\n".join(line for line in OWN.splitlines() if not line.startswith("system")))
    messages = load_template(str(path)).chat("q", "a", "b").messages
    assert [message.role for message in messages] == ["user"]


def test_the_digest_changes_with_the_file(tmp_path: Path) -> None:
    before = load_template(own(tmp_path)).digest
    assert load_template(own(tmp_path)).digest == before
    assert load_template(own(tmp_path, "You judge.", "You weigh.")).digest != before


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BonError, match=r"unknown judge template 'rmm'; known: rm-r1, rrm, tiny"):
        load_template("rmm")


def test_a_folder_is_no_template(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="unknown judge template"):
        load_template(str(tmp_path))


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('user = "Q: {{ query }} A: {{ first }} B: {{ second }}"', "user"),
        ("[verdict]", "verdict"),
        ("pattern = 'winner: (A|B|both)'", "pattern"),
        ('first = "A"', "first"),
        ('second = "B"', "second"),
        ("temperature = 0.5", "temperature"),
        ("top_p = 0.9", "top_p"),
        ("max_tokens = 64", "max_tokens"),
        ("[thinking]", "thinking"),
        ('close = "</think>"', "close"),
    ],
)
def test_a_missing_field_is_named(tmp_path: Path, line: str, field: str) -> None:
    with pytest.raises(BonError, match=f"is no judge template: missing or wrong field '{field}'"):
        load_template(own(tmp_path, line))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('user = "Q: {{ query }} A: {{ first }} B: {{ second }}"', "user = 3"),
        ('system = "You judge.', 'description = ["x"]\nsystem = "You judge.'),
        ('first = "A"', "first = 1"),
        ('tie = "both"', "tie = true"),
        ('close = "</think>"', "close = 1"),
        ("temperature = 0.5", 'temperature = "hot"'),
        ("max_tokens = 64", "max_tokens = []"),
        ("pattern = 'winner: (A|B|both)'", "pattern = 5"),
        ("[sampling]\n", "[sampling.deeper]\n"),
    ],
)
def test_a_field_of_the_wrong_kind_is_an_error(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(BonError, match="missing or wrong field"):
        load_template(own(tmp_path, old, new))


@pytest.mark.parametrize("pattern", ["winner: A|B", "(winner): (A|B)"])
def test_a_pattern_needs_exactly_one_group(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(BonError, match="exactly one group"):
        load_template(own(tmp_path, "winner: (A|B|both)", pattern))


def test_a_pattern_that_does_not_compile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BonError, match=r"is no judge template: missing \)"):
        load_template(own(tmp_path, "winner: (A|B|both)", "winner: (A"))


def test_labels_must_differ(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="labels of the verdict must differ"):
        load_template(own(tmp_path, 'second = "B"', 'second = "A"'))


@pytest.mark.parametrize("variable", ["query", "first", "second"])
def test_a_template_that_leaves_out_what_is_judged_is_an_error(
    tmp_path: Path, variable: str
) -> None:
    with pytest.raises(BonError, match=f"never shows {{{{ {variable} }}}}"):
        load_template(own(tmp_path, f"{{{{ {variable} }}}}", "nothing"))


@pytest.mark.parametrize("broken", ["{{ criterion }}", "{% if criteria %}", "{{ query | nope }}"])
def test_a_template_that_does_not_render_is_an_error(tmp_path: Path, broken: str) -> None:
    with pytest.raises(BonError, match="cannot render the template"):
        load_template(own(tmp_path, "Q: ", broken))


def test_a_part_that_only_criteria_bring_out_must_render_too(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="cannot render the template"):
        load_template(own(tmp_path, "{{ criteria }}", "{{ criterion }}"))


def test_a_template_cannot_reach_into_the_program(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="cannot render the template"):
        load_template(own(tmp_path, "Q: ", "{{ ''.__class__.__mro__ }}"))


@pytest.mark.parametrize("data", [b"user = ", b"\xff\xfe", b"<html>"])
def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    with pytest.raises(BonError, match="is no judge template"):
        load_template(str(path))
