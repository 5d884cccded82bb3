"""Pages for people: the board at `/`, and what the server understands at `/docs`.

Both are whole in themselves: a content security policy forbids them any script but their own and any
request but to this server. What models and clients wrote reaches them as text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.responses import HTMLResponse, JSONResponse, Response

from bon.report.page import asset
from bon.server.board import Board
from bon.server.errors import Refusal

SCRIPTS = ("dom", "pairs", "bracket", "crosstable", "graph", "match", "prompt")
"""Parts of the report's page that the board uses."""


def add_ui(app: FastAPI, board: Board | None) -> None:
    """Add the pages; without a `board`, only `/docs`."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _page("docs.html", _style(), "", operations=_operations(app.openapi()), title="bon")

    if board is None:
        return

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return _page("board.html", _style(), _script())

    @app.get("/ui/tournaments", include_in_schema=False)
    async def tournaments() -> Response:
        return JSONResponse(board.rows(), headers={"cache-control": "no-store"})

    @app.get("/ui/tournaments/{number}", include_in_schema=False)
    async def tournament(number: int) -> Response:
        detail = board.detail(number)
        if detail is None:
            raise Refusal(404, "this tournament is no longer kept")
        return JSONResponse(detail, headers={"cache-control": "no-store"})


def _page(template: str, style: str, script: str, **context: Any) -> HTMLResponse:
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        f" frame-ancestors 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    html = (
        _environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), **context)
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return HTMLResponse(html, headers=headers)


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every operation with the fields of its request."""
    schemas = document["components"]["schemas"]

    def fields(reference: str, prefix: str = "") -> Iterator[dict[str, str]]:
        schema = schemas.get(reference.rpartition("/")[2], {})
        for name, field in schema.get("properties", {}).items():
            if name == "bon":  # the one field that is not OpenAI's
                yield from fields(field["$ref"], "bon.")
                continue
            yield {
                "name": prefix + name,
                "kind": _kind(field),
                "description": field.get("description", ""),
                "required": "required" if name in schema.get("required", ()) else "",
            }

    def asked(operation: dict[str, Any]) -> list[dict[str, str]]:
        content = operation.get("requestBody", {}).get("content", {})
        return list(fields(content.get("application/json", {}).get("schema", {}).get("$ref", "")))

    return [
        {
            "method": method.upper(),
            "path": path,
            "description": operation.get("description", ""),
            "fields": asked(operation),
            "responses": {
                status: response["description"]
                for status, response in operation["responses"].items()
            },
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _kind(field: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "anyOf" in field or "oneOf" in field:
        parts = [_kind(part) for part in field.get("anyOf", field.get("oneOf", ()))]
        return " or ".join(dict.fromkeys(part for part in parts if part != "null"))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field or "const" in field:
        return ", ".join(str(value) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return str(field.get("type", ""))


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


@cache
def _environment() -> Environment:
    return Environment(loader=PackageLoader("bon.server", "assets"), autoescape=True)


@cache
def _style() -> str:
    return f"\n{asset('page.css')}\n{_own('board.css')}\n"


@cache
def _script() -> str:
    parts = "\n".join([*(asset(f"{name}.js") for name in SCRIPTS), _own("board.js")])
    return f'\n(() => {{\n"use strict";\n{parts}\n}})();\n'


def _own(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text("utf-8")
