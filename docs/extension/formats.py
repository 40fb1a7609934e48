"""Pages of document formats, from their JSON Schemas, and of the command line."""

import json
import subprocess
import sys
from typing import Any


def pages() -> dict[str, str]:
    """The pages by path."""
    import capsjax as cj
    from capsjax.graph.schema import FORMAT_VERSION
    from capsjax.sweep.document.form import Sweep
    from capsjax.training.configuration.form import RunForm

    return {
        "formats/graph.md": _format(
            "Graph documents",
            f"Version {FORMAT_VERSION}, the first. `cj.save` writes it, `cj.load` "
            "reads it.",
            cj.json_schema(),
        ),
        "formats/run-configuration.md": _format(
            "Run configurations",
            "Version 1, the first: TOML or JSON, read by `cj.load_run_configuration`.",
            _schema(RunForm),
        ),
        "formats/sweep.md": _format(
            "Sweep documents",
            "Version 1, the first: TOML or JSON, read by `cj.load_sweep`.",
            _schema(Sweep),
        ),
        "formats/command-line.md": _commands(),
    }


def _schema(form: Any) -> dict[str, Any]:
    return form.model_json_schema()


def _format(title: str, text: str, schema: dict[str, Any]) -> str:
    own = {"The document": schema} if "properties" in schema else {}
    parts = [f"# {title}\n\n{text}\n"]
    for name, form in (own | schema.get("$defs", {})).items():
        if "properties" in form and "_in_block_" not in name:
            parts.append(_table(name, form))
    return "\n".join(parts)


def _table(name: str, form: dict[str, Any]) -> str:
    required = form.get("required", [])
    lines = [f"## {name}\n", form.get("description", ""), ""]
    lines += ["| key | value | default |", "| --- | --- | --- |"]
    for key, each in form["properties"].items():
        default = json.dumps(each["default"]) if "default" in each else ""
        default = "required" if key in required else _code(default)
        lines.append(f"| `{key}` | {_code(_value(each))} | {default} |")
    return "\n".join([*lines, ""])


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _value(each: dict[str, Any]) -> str:
    """What may stand there, in one line."""
    if "$ref" in each:
        return each["$ref"].rpartition("/")[2]
    if "const" in each:
        return json.dumps(each["const"])
    if "enum" in each:
        return " or ".join(map(json.dumps, each["enum"]))
    for key in ("anyOf", "oneOf"):
        if key in each:
            names = [_value(one) for one in each[key]]
            few = names[:4]
            return " or ".join(few) + (" or ..." if len(names) > 4 else "")
    if each.get("type") == "array":
        return f"list of {_value(each.get('items', {}))}"
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<="}
    limits["exclusiveMaximum"] = "<"
    found = [f"{sign} {each[key]}" for key, sign in limits.items() if key in each]
    return " ".join([each.get("type", "any"), ", ".join(found)]).strip()


def _commands() -> str:
    """The command line as typer tells it."""
    command = [sys.executable, "-m", "typer", "capsjax.cli", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "capsjax"], capture_output=True, text=True, check=True
    )
    text = done.stdout.replace('<span style="font-weight: bold">', "**")
    text = text.replace("</span>", "**").replace("[bold]", "**")
    text = text.replace("[/bold]", "**").replace("# `capsjax`", "# Command line", 1)
    return text.replace("```console", "```text")
