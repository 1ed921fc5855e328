"""The rule of a composite alarm.

Source: Amazon CloudWatch API Reference, "PutCompositeAlarm", parameter AlarmRule (read in 2026-11).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from local.emulator.alarm_evaluation import STATES, NotEvaluated

_TOKEN = re.compile(r'\s*(?:(?P<sign>[()])|"(?P<quoted>[^"]+)"|(?P<word>[^\s()"]+))')
DEEPEST = 50

Rule = Callable[[Callable[[str], str]], bool]
"""Whether a rule holds, given the state of each alarm that it names."""


@dataclass(frozen=True)
class AlarmRule:
    """A parsed AlarmRule: which alarms it names (by name or ARN, in order) and when it holds."""

    names: tuple[str, ...]
    holds: Rule


def parse(text: str) -> AlarmRule:
    """Parse an AlarmRule: ALARM(), OK(), INSUFFICIENT_DATA(), TRUE, FALSE, NOT, AND, OR and parentheses.

    NOT binds tightest. Raises NotEvaluated for anything else: AT_LEAST, and AND beside OR without parentheses, because
    which of the two binds tighter is not documented.
    """
    return _Parser(text).rule()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        self._depth = 0
        self._names: list[str] = []

    def rule(self) -> AlarmRule:
        holds = self._either()
        if self._at < len(self._tokens):
            raise self._wrong()
        return AlarmRule(tuple(dict.fromkeys(self._names)), holds)

    def _either(self) -> Rule:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotEvaluated("the alarm rule is nested too deeply")
        parts, operator = [self._one()], ""
        while taken := self._take("AND", "OR"):
            if operator and taken != operator:
                raise NotEvaluated(f"AND and OR beside each other need parentheses: {self._text!r}")
            operator = taken
            parts.append(self._one())
        self._depth -= 1
        return lambda state: (any if operator == "OR" else all)(part(state) for part in parts)

    def _one(self) -> Rule:
        negated = False
        while self._take("NOT"):
            negated = not negated
        rule = self._operand()
        return (lambda state: not rule(state)) if negated else rule

    def _operand(self) -> Rule:
        if self._take("("):
            rule = self._either()
            self._expect(")")
            return rule
        if constant := self._take("TRUE", "FALSE"):
            return lambda _: constant == "TRUE"
        wanted = self._take(*STATES)
        if wanted is None:
            raise self._wrong()
        self._expect("(")
        name = self._name()
        self._expect(")")
        return lambda state: state(name) == wanted

    def _name(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] == "sign":
            raise self._wrong()
        self._at += 1
        name = self._tokens[self._at - 1][1]
        self._names.append(name)
        return name

    def _take(self, *expected: str) -> str | None:
        if self._at < len(self._tokens):
            kind, token = self._tokens[self._at]
            if kind != "quoted" and token in expected:
                self._at += 1
                return token
        return None

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._wrong()

    def _wrong(self) -> NotEvaluated:
        found = repr(self._tokens[self._at][1]) if self._at < len(self._tokens) else "its end"
        return NotEvaluated(f"the alarm rule is not evaluated here at {found}: {self._text!r}")

    @staticmethod
    def _split(text: str) -> list[tuple[str, str]]:
        tokens, at, end = [], 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise NotEvaluated(f"the alarm rule cannot be read: {text!r}")
            tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
            at = found.end()
        return tokens
