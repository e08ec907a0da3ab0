"""JSON and YAML of others: read with bounds on size and depth, so that a hostile file costs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.files import read_file

_MOST_JSON = 1 << 23
"""Bytes: a list of 21,841 classes with their descriptions has 3 million."""

_MOST_YAML = 1 << 20
"""Bytes: a list of 18,383 characters has 150 thousand."""

_MOST_DEPTH = 50


def read_json(path: Path) -> Any:
    """Return the value that a JSON file holds.

    Raises:
        InputError: it cannot be read, is no JSON, or is nested too deeply.
    """
    data = read_file(path, InputError, most=_MOST_JSON)
    try:
        document = json.loads(data.decode("utf-8-sig"))
        if _is_deeper(document, _MOST_DEPTH):
            raise RecursionError
    except ValueError as error:  # a number of thousands of digits, too
        raise InputError(f"{path}: is not JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
    return document


def read_yaml(path: Path) -> Any:
    """Return the value that a YAML file holds; anchors have no meaning, and references to them are refused.

    Raises:
        InputError: it cannot be read, is no YAML, is nested too deeply, or PyYAML is not installed.
    """
    try:
        import yaml  # here and not above, since it may be missing
    except ImportError:
        raise InputError(f"{path}: to read it takes PyYAML: pip install 'pyncnnq[metadata]'") from None
    data = read_file(path, InputError, most=_MOST_YAML)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(data, Loader=loader):
            if isinstance(event, yaml.AliasEvent):  # a few of them can stand for millions of values
                raise InputError(f"{path}: line {event.start_mark.line + 1}: has a reference (*{event.anchor})")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_DEPTH:
                raise InputError(f"{path}: is nested too deeply")
        return yaml.load(data, Loader=loader)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, TypeError, AttributeError) as error:  # dates and numbers that are none
        raise InputError(f"{path}: is not YAML: {error}") from None


def _is_deeper(value: Any, depth: int) -> bool:
    """Return whether plain data has lists and objects in each other to more than a depth."""
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(entry, depth - 1) for entry in entries)
