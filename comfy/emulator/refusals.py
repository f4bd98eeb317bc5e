"""The errors of a refused graph, in ComfyUI's words, those of 0.24 and later, and JSON shapes."""

import traceback
from typing import Any

Problem = dict[str, Any]

LONG_LIST = 20
"""Longer lists of choices are not spelled out in an error."""


def problem(kind: str, message: str, details: str, **extra_info: Any) -> Problem:
    """One error as ComfyUI writes it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def frames(error: Exception) -> list[str]:
    """Where the node's validation was begun, and where it failed: ComfyUI has no frame between."""
    frames = traceback.format_tb(error.__traceback__)
    return frames if len(frames) < 2 else [frames[0], frames[-1]]


def mismatch(name: str, config: list[Any], received: str, link: list[Any]) -> Problem:
    """The output that is linked has another type."""
    return problem(
        "return_type_mismatch",
        "Return type mismatch between linked nodes",
        f"{name}, received_type({received}) mismatch input_type({config[0]})",
        input_name=name,
        input_config=config,
        received_type=received,
        linked_node=link,
    )


def inner_exception(error: Exception, name: str, config: list[Any], link: list[Any]) -> Problem:
    """The check of the node that is linked to failed itself."""
    return problem(
        "exception_during_inner_validation",
        "Exception when validating inner node",
        str(error),
        input_name=name,
        input_config=config,
        exception_message=str(error),
        exception_type=type(error).__name__,
        traceback=frames(error),
        linked_node=link,
    )


def not_in_list(name: str, config: list[Any], choices: list[Any], value: Any) -> Problem:
    """The choice is none of those that are offered."""
    long = len(choices) > LONG_LIST
    shown = f"(list of length {len(choices)})" if long else str(choices)
    return problem(
        "value_not_in_list",
        "Value not in list",
        f"{name}: '{value}' not in {shown}",
        input_name=name,
        input_config=None if long else config,
        received_value=value,
    )


def inconvertible(name: str, config: list[Any], value: Any, error: Exception) -> Problem:
    """The value cannot be made one of the input's type."""
    return problem(
        "invalid_input_type",
        f"Failed to convert an input value to a {config[0]} value",
        f"{name}, {value}, {error}",
        input_name=name,
        input_config=config,
        received_value=value,
        exception_message=str(error),
    )


def out_of_range(
    name: str, config: list[Any], options: dict[str, Any], value: Any
) -> Problem | None:
    """The number is too small or too big, or None if it is neither."""
    low, high = options.get("min"), options.get("max")
    extra = {"input_name": name, "input_config": config, "received_value": value}
    if low is not None and value < low:
        message = f"Value {value} smaller than min of {low}"
        return problem("value_smaller_than_min", message, name, **extra)
    if high is not None and value > high:
        message = f"Value {value} bigger than max of {high}"
        return problem("value_bigger_than_max", message, name, **extra)
    return None
