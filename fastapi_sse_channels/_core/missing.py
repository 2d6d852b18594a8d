"""Finds the fields that an event lacks, which its JSON would lack without a word.

pydantic fills them all, but `model_construct` need not, and the row of a database loses them: an
SQLModel is empty after a commit, until it is refreshed. Rows are found wherever an event holds one.
Of other models only the event itself is looked at: a walk through all would cost each event.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel


def fields_in_json(model: type[BaseModel]) -> tuple[str, ...]:
    """List the fields that each instance has to have."""
    return tuple(name for name, field in model.model_fields.items() if not field.exclude)


def has_rows(core_schema: Any) -> bool:
    """Tell whether a schema of pydantic holds models whose fields may lose their values."""
    if isinstance(core_schema, Mapping):
        return _is_row(core_schema.get("cls")) or any(map(has_rows, core_schema.values()))
    return isinstance(core_schema, list | tuple) and any(map(has_rows, core_schema))


def missing_field(value: Any, path: str = "") -> str | None:
    """Return the path of the first field without a value, in a value or in what it holds."""
    children: Iterable[tuple[str, Any]] = ()
    if isinstance(value, BaseModel):
        names = fields_in_json(type(value))
        # not by its attributes, which a row would load
        lacking = next((name for name in names if name not in value.__dict__), None)
        if lacking is not None:
            return f"{path}.{lacking}"
        children = ((f".{name}", value.__dict__[name]) for name in names)
    elif dataclasses.is_dataclass(value):
        names = tuple(field.name for field in dataclasses.fields(value))
        children = ((f".{name}", getattr(value, name)) for name in names)
    elif isinstance(value, Mapping):
        children = ((f".{name}", child) for name, child in value.items())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        children = ((f"[{index}]", child) for index, child in enumerate(value))
    found = (missing_field(child, path + at) for at, child in children)
    return next((at for at in found if at is not None), None)


def _is_row(model: Any) -> bool:
    # its mapper puts descriptors in the place of the fields
    return (
        isinstance(model, type)
        and issubclass(model, BaseModel)
        and any(
            hasattr(vars(base).get(name), "__set__")
            for base in model.__mro__
            for name in model.model_fields
        )
    )
