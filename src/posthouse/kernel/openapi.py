"""One function builds the OpenAPI document, for the app, the docs and the tests."""

from collections.abc import Sequence
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response

from posthouse.kernel.manifest import Slice
from posthouse.kernel.problems import Problem

_METHODS = ("get", "post", "put", "patch", "delete")


def build_openapi(api: FastAPI, slices: Sequence[Slice]) -> dict[str, Any]:
    """The document of all routes, with what the slices add for their raw ones."""
    if api.openapi_schema:
        return api.openapi_schema
    document = get_openapi(
        title="Posthouse",
        version="1",
        summary="Short links, notifications and files.",
        routes=api.routes,
    )
    components = document.setdefault("components", {})
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = components.setdefault("schemas", {})
    schemas |= schema.pop("$defs", {})
    schemas["Problem"] = schema
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`ph_live_…`) or an access token of `POST /login`.",
        }
    }
    for one in slices:
        one.openapi(document)
    api.openapi_schema = document
    return document


def docs_page(api: FastAPI) -> None:
    """Show the reference at `/docs` and the document at `/docs/openapi.json`."""

    async def document(request: Request) -> Response:
        del request
        return JSONResponse(api.openapi())

    async def page(request: Request) -> Response:
        del request
        return HTMLResponse(_html(api.openapi()), headers={"Content-Security-Policy": _CSP})

    api.add_route("/docs/openapi.json", document, include_in_schema=False)
    api.add_route("/docs", page, include_in_schema=False)
    api.add_route("/docs/", page, include_in_schema=False)


_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#f2efe8;padding:.1rem .3rem}summary{cursor:pointer;padding:.3rem 0}"
    "table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#1b1a18;color:#eee}code{background:#333}}"
)


_INTRODUCTION = (
    "<p>The whole document: <a href=/docs/openapi.json>openapi.json</a>. Send "
    "<code>Authorization: Bearer ph_live_…</code> with each request.</p>"
)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """All operations: [(method, path, operation)], in the order of the document."""
    return [
        (method.upper(), path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]


def _html(document: dict[str, Any]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Posthouse API</title>",
        f"<style>{_STYLE}</style><h1>Posthouse API</h1>",
        _INTRODUCTION,
    ]
    for method, path, operation in operations(document):
        rows = "".join(
            f"<tr><td><code>{status}</code><td>{escape(response.get('description', ''))}"
            for status, response in operation["responses"].items()
        )
        parameters = "".join(
            f"<tr><td><code>{escape(parameter['name'])}</code> {parameter['in']}"
            f"<td>{escape(parameter.get('description', ''))}"
            for parameter in operation.get("parameters", ())
        )
        parts.append(
            f"<details><summary><code>{method} {escape(path)}</code> "
            f"{escape(operation.get('summary', ''))}</summary>"
            f"<p>{escape(operation.get('description', ''))}</p>"
            f"<table>{parameters}</table><table>{rows}</table></details>"
        )
    return "".join(parts)
