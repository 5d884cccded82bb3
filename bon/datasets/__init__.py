"""Readers and writers: rows of any common format in, results out, in input order.

`files` reads rows, `prompts` makes prompts of them, `writing` puts rows in order and into a format,
`output` replaces a file at once or not at all, `results` reads back what was written.
"""

from bon.datasets.files import BadRow, Row, keep_apart, read_rows
from bon.datasets.output import Output
from bon.datasets.prompts import (
    Fields,
    Input,
    prompt_from,
    read_inputs,
    read_prompts,
    sampled_to_json,
)
from bon.datasets.results import read_results
from bon.datasets.writing import OrderedWriter

__all__ = [
    "BadRow",
    "Fields",
    "Input",
    "OrderedWriter",
    "Output",
    "Row",
    "keep_apart",
    "prompt_from",
    "read_inputs",
    "read_prompts",
    "read_results",
    "read_rows",
    "sampled_to_json",
]
