"""The language of `Upstash-Retry-Delay`, without its functions: arithmetic over `retried`.

The text becomes a Python syntax tree, which is evaluated node by node. Nothing is compiled or called by name.
Source: Upstash, features/retry, "Custom Retry Delay".
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass

MAX_LENGTH = 256
MAX_DEPTH = 32

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: math.fmod,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


@dataclass(frozen=True)
class Expression:
    """One accepted expression. `text` is what the publisher wrote."""

    text: str
    tree: ast.expr

    def delay_ms(self, retried: int) -> float:
        """Returns the milliseconds to wait: never negative, infinite if the arithmetic overflows.

        `retried` is 0 for the first retry. Raises `ValueError` if there is no result, as in a division by zero.
        """
        try:
            result = _evaluate(self.tree, float(retried))
        except ArithmeticError as error:
            raise ValueError(f"{self.text!r} has no value for retried={retried}") from error
        if math.isnan(result):
            raise ValueError(f"{self.text!r} has no value for retried={retried}")
        return max(0.0, result)


def parse_expression(text: str) -> Expression:
    """Reads an expression. Raises `ValueError` that says what is wrong."""
    if not text.strip() or len(text) > MAX_LENGTH:
        raise ValueError(f"expected an expression of 1 to {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns about the style of some expressions
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} is not an expression") from None
    _check(tree, 0)
    return Expression(text.strip(), tree)


def _check(node: ast.expr, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            if not abs(value) <= 1e18:
                raise ValueError("a number in the expression is too large")
        case ast.Name(id="retried"):
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, depth + 1)
            _check(right, depth + 1)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            _check(operand, depth + 1)
        case _:
            raise ValueError(f"{ast.unparse(node)[:40]!r} is not allowed in a retry delay")


def _evaluate(node: ast.expr, retried: float) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_evaluate(left, retried), _evaluate(right, retried))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_evaluate(operand, retried))
        case _:
            return retried
