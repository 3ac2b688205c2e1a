"""The page that describes the API, made from what the API says of itself: nothing is fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...reporting.shell import fill

HERE = Path(__file__).parent


def reference_page(api: Mapping[str, Any], address: str, token: bool) -> str:
    """The page.

    Args:
        api: the OpenAPI document.
        address: of the server, for the commands that are shown.
        token: whether requests carry one.
    """
    calls = [
        {
            "method": method.upper(),
            "path": path,
            "summary": call.get("summary", ""),
            "parameters": [_parameter(one) for one in call.get("parameters", [])],
            "body": call.get("requestBody", {}).get("description", ""),
            "kinds": list(call.get("requestBody", {}).get("content", {})),
            "answers": [(status, about["description"], list(about.get("content", {}))) for status, about in call["responses"].items()],
            "command": _command(method, f"{address}{path}", token and path != "/healthz"),
        }
        for path, methods in api["paths"].items()
        for method, call in methods.items()
    ]
    return fill(HERE, title=f"{api['info']['title']} {api['info']['version']}", summary=api["info"].get("summary", ""), calls=calls)


def _parameter(about: Mapping[str, Any]) -> dict[str, str]:
    schema = about["schema"]
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    words = ", ".join(" | ".join(one["enum"]) if "enum" in one else str(one.get("type", "")) for one in options)
    default = schema.get("default")
    return {
        "name": about["name"],
        "values": words,
        "default": "" if default is None else str(default),
        "description": about.get("description") or schema.get("description", ""),
    }


def _command(method: str, address: str, token: bool) -> str:
    authorised = " -H 'Authorization: Bearer TOKEN'" if token else ""
    if method == "get":
        return f"curl{authorised} {address}"
    return f"curl{authorised} --data-binary @image.png -H 'Content-Type: image/png' {address} --output picture.png"
