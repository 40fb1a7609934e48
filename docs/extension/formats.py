"""Pages of document formats, from their JSON Schemas, and of the command line."""

import json
import re
import subprocess
import sys
from typing import Any

GROUPS = {
    "weighting": "weighting operation",
    "capsule": "capsule function",
    "loss": "loss",
    "backward": "backward rule",
}
"""What the names of kinds begin with in schemas."""

IN_BLOCK = (
    "Inside of a block, every setting may be a parameter of the block in place of a "
    'value: `{"parameter": "features"}`. The forms of weighting operations, capsule '
    "functions and backward rules are the same there but for that, and are given once."
)


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
            f"reads it.\n\n{IN_BLOCK}",
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
    lines = [f"## {_capital(_words(name))}\n", form.get("description", ""), ""]
    lines += ["| key | value | default |", "| --- | --- | --- |"]
    for key, each in form["properties"].items():
        default = json.dumps(each["default"]) if "default" in each else ""
        default = "required" if key in required else _code(default)
        lines.append(f"| `{key}` | {_code(_value(each))} | {default} |")
    return "\n".join([*lines, ""])


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _words(name: str) -> str:
    """Plain words for the name of a form: "loss margin", "use in block"."""
    group, _, kind = name.partition("_")
    if group in GROUPS and kind:
        return f"{GROUPS[group]} {kind.removeprefix('in_block_')}"
    name = name.removesuffix("Form")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _kind_or_value(each: dict[str, Any]) -> str:
    """The table for one of its kinds, since there are dozens; all else as it is."""
    group, _, kind = each.get("$ref", "").rpartition("/")[2].partition("_")
    return GROUPS[group] if group in GROUPS and kind else _value(each)


def _value(each: dict[str, Any]) -> str:
    """What may stand there, in one line."""
    if "$ref" in each:
        return _words(each["$ref"].rpartition("/")[2])
    if "const" in each:
        return json.dumps(each["const"])
    if "enum" in each:
        return " or ".join(map(json.dumps, each["enum"]))
    for key in ("anyOf", "oneOf"):
        if key in each:
            names = list(dict.fromkeys(map(_kind_or_value, each[key])))
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
