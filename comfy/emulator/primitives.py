"""What the nodes do that work on texts and numbers, and switches."""

import ast
import json
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from .values import Inputs, Result, Run

Runner = Callable[[Run, Inputs], Result]
LARGEST_POWER = 64
LONGEST_TEXT = 1_000_000


def _value(_: Run, inputs: Inputs) -> Result:
    return Result((inputs["value"],))


def _switch(_: Run, inputs: Inputs) -> Result:
    """ComfySwitchNode: only the chosen branch has run."""
    return Result((inputs["on_true" if inputs["switch"] else "on_false"],))


def _concatenate(_: Run, inputs: Inputs) -> Result:
    return Result((inputs["delimiter"].join((inputs["string_a"], inputs["string_b"])),))


def _replace(_: Run, inputs: Inputs) -> Result:
    return Result((inputs["string"].replace(inputs["find"], inputs["replace"])[:LONGEST_TEXT],))


def _change_case(_: Run, inputs: Inputs) -> Result:
    text: str = inputs["string"]
    cases = {"UPPERCASE": text.upper(), "lowercase": text.lower(), "Title Case": text.title()}
    return Result((cases.get(inputs["mode"], text.capitalize()),))


def _trim(_: Run, inputs: Inputs) -> Result:
    text: str = inputs["string"]
    return Result(
        ({"Left": text.lstrip(), "Right": text.rstrip()}.get(inputs["mode"], text.strip()),)
    )


def _compare(_: Run, inputs: Inputs) -> Result:
    first, second = inputs["string_a"], inputs["string_b"]
    if not inputs["case_sensitive"]:
        first, second = first.lower(), second.lower()
    tests = {"Starts With": first.startswith(second), "Ends With": first.endswith(second)}
    return Result((tests.get(inputs["mode"], first == second),))


def _contains(_: Run, inputs: Inputs) -> Result:
    text, part = inputs["string"], inputs["substring"]
    if not inputs["case_sensitive"]:
        text, part = text.lower(), part.lower()
    return Result((part in text,))


def _pattern(inputs: Inputs) -> "re.Pattern[str]":
    wanted = {"case_insensitive": re.IGNORECASE, "multiline": re.MULTILINE, "dotall": re.DOTALL}
    flags = sum(flag for name, flag in wanted.items() if inputs[name])
    return re.compile(inputs["regex_pattern"], flags)


def _match(_: Run, inputs: Inputs) -> Result:
    return Result((_pattern(inputs).search(inputs["string"]) is not None,))


def _extract(_: Run, inputs: Inputs) -> Result:
    found = list(_pattern(inputs).finditer(inputs["string"]))
    group = inputs["group_index"] if "Group" in inputs["mode"] else 0
    texts = [match.group(group) or "" for match in found if group <= match.re.groups]
    chosen = texts if inputs["mode"].startswith("All") else texts[:1]
    return Result(("\n".join(chosen),))


def _substitute(_: Run, inputs: Inputs) -> Result:
    count = inputs.get("count") or 0
    return Result((_pattern(inputs).sub(inputs["replace"], inputs["string"], count=count),))


def _from_json(_: Run, inputs: Inputs) -> Result:
    try:
        found = json.loads(inputs["json_string"]).get(inputs["key"])
    except (ValueError, AttributeError):
        found = None
    return Result(("" if found is None else str(found),))


def _format(_: Run, inputs: Inputs) -> Result:
    text: str = inputs["f_string"]
    for name, value in inputs.items():
        if name.startswith("values."):
            text = text.replace(f"{{{name.removeprefix('values.')}}}", str(value))
    return Result((text[:LONGEST_TEXT],))


def _convert(_: Run, inputs: Inputs) -> Result:
    number = float(inputs["value"])
    return Result((number, int(number)))


def _calculate(_: Run, inputs: Inputs) -> Result:
    """ComfyMathExpression. Raises ValueError for what is no such expression."""
    names = {
        name.removeprefix("values."): value
        for name, value in inputs.items()
        if name.startswith("values.")
    }
    number = calculated(inputs["expression"], names)
    return Result((float(number), int(number), bool(number)))


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "float": float,
    "floor": math.floor,
    "int": int,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}


def calculated(text: str, names: dict[str, Any]) -> Any:
    """The value of an expression of numbers. Raises ValueError if it is none."""
    try:
        return _calculated(ast.parse(text.strip(), mode="eval").body, names)
    except (SyntaxError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"cannot calculate {text!r}: {error}") from error


def _calculated(part: ast.expr, names: dict[str, Any]) -> Any:
    def value(inner: ast.expr) -> Any:
        return _calculated(inner, names)

    match part:
        case ast.Constant(value=bool() | int() | float() as number):
            return number
        case ast.Name(id=name):
            return names[name]
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, power = value(left), value(right)
            if abs(power) > LARGEST_POWER:
                raise ValueError("the power is too large")
            return base**power
        case ast.BinOp(left=left, op=how, right=right):
            return OPERATORS[type(how)](value(left), value(right))
        case ast.UnaryOp(op=sign, operand=operand):
            return OPERATORS[type(sign)](value(operand))
        case ast.Compare(left=left, ops=[test], comparators=[right]):
            return OPERATORS[type(test)](value(left), value(right))
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(value(inner) for inner in parts)
        case ast.BoolOp(values=parts):
            return any(value(inner) for inner in parts)
        case ast.IfExp(test=condition, body=yes, orelse=no):
            return value(yes) if value(condition) else value(no)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return FUNCTIONS[name](*(value(inner) for inner in arguments))
    raise ValueError(f"{type(part).__name__} is no part of an expression")


def _box(_: Run, inputs: Inputs) -> Result:
    return Result(({side: inputs[side] for side in ("x", "y", "width", "height")},))


def _resolution(_: Run, inputs: Inputs) -> Result:
    """ResolutionSelector: so many megapixels in a ratio that is written `16:9 (Widescreen)`."""
    wide, high = (int(part) for part in inputs["aspect_ratio"].split(" ")[0].split(":"))
    step = inputs["multiple"]
    side = math.sqrt(inputs["megapixels"] * 1024 * 1024 / (wide * high))
    return Result(tuple(max(step, round(part * side / step) * step) for part in (wide, high)))


def _truths(inputs: Inputs) -> list[bool]:
    return [bool(value) for name, value in inputs.items() if name.startswith("values.")]


PRIMITIVES: dict[str, Runner] = {
    "PrimitiveString": _value,
    "PrimitiveStringMultiline": _value,
    "PrimitiveInt": _value,
    "PrimitiveFloat": _value,
    "PrimitiveBoolean": _value,
    "SeedNode": lambda _, inputs: Result((inputs["seed"],)),
    "CustomCombo": lambda _, inputs: Result((inputs["choice"], int(inputs.get("index") or 0))),
    "PrimitiveBoundingBox": _box,
    "ResolutionSelector": _resolution,
    "ComfySwitchNode": _switch,
    "ComfyNotNode": lambda _, inputs: Result((not inputs["value"],)),
    "ComfyAndNode": lambda _, inputs: Result((all(_truths(inputs)),)),
    "ComfyOrNode": lambda _, inputs: Result((any(_truths(inputs)),)),
    "ComfyMathExpression": _calculate,
    "ComfyNumberConvert": _convert,
    "StringConcatenate": _concatenate,
    "StringReplace": _replace,
    "StringSubstring": lambda _, inputs: Result(
        (inputs["string"][inputs["start"] : inputs["end"]],)
    ),
    "StringLength": lambda _, inputs: Result((len(inputs["string"]),)),
    "StringTrim": _trim,
    "StringCompare": _compare,
    "StringContains": _contains,
    "StringFormat": _format,
    "CaseConverter": _change_case,
    "RegexMatch": _match,
    "RegexExtract": _extract,
    "RegexReplace": _substitute,
    "JsonExtractString": _from_json,
}
