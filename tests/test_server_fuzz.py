"""Whatever the OpenAPI document allows, and what it forbids: never a 5xx, always what the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import Serving, serving

# Which strategies there are and what each takes, this server's limits, and that a message says
# something stand in no schema: such a request is refused with 400.
BEYOND = [positive_data_acceptance]

OPERATIONS = [
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{model}", "GET"),
    ("/health", "GET"),
    ("/metrics", "GET"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Serving]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def document(running: Serving) -> Any:
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


def test_the_document_names_every_operation(document: Any) -> None:
    named = [(o.ok().path, o.ok().method.upper()) for o in document.get_all_operations()]
    assert sorted(named) == sorted(OPERATIONS)


CASES = [(*operation, "positive") for operation in OPERATIONS]
CASES += [(*operation, "negative") for operation in OPERATIONS if operation[1] == "POST"]


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_every_operation_keeps_to_its_document(
    document: Any, path: str, method: str, mode: str
) -> None:
    operation = document[path][method]

    @settings(max_examples=40 if method == "POST" else 5, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def keeps(case: Any) -> None:
        case.call_and_validate(excluded_checks=BEYOND)

    keeps()
