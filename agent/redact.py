"""Takes secrets out of records before anything is stored. On by default, recursive, exact; what a secret is stands in `redact_rules.py`.

    chunk ──▶ one search over the raw bytes ──nothing──▶ the records as they are
                       └─ perhaps ──▶ each record: keys, then texts ──▶ `[REDACTED]` in place of the value, counted by rule

The search may report too much, never too little: a record that came from the searched bytes and that the exact rules would change has always
been reported (a property test holds it to that). Structure stays: below a sensitive key each leaf is replaced, the keys remain.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import re2

from agent.columns import Block, Records
from agent.component import ComponentConfig
from agent.parse.patterns import Pattern  # noqa: TC001 - pydantic reads it
from agent.redact_rules import AS_ITEMS, AS_OPTION, COOKIES, IN_TEXT, SHAPES, hints, names_number, names_secret, normal, option_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.record import LogRecord, Value

_NESTED: Final = frozenset((list, dict))
REDACTED: Final = "[REDACTED]"
KEY_RULE: Final = "key"
TEXT_RULE: Final = "key_in_text"
CUSTOM_RULE: Final = "custom"


class RedactConfig(ComponentConfig):
    """What is taken out of log records before they are stored."""

    enabled: bool = True
    """Replace secrets with `[REDACTED]`."""
    keys: tuple[str, ...] = ()
    """Further names of keys whose values are secrets, in any spelling: `pin_code` also means `pinCode` and `PIN-Code`."""
    patterns: tuple[Pattern, ...] = ()
    """Further patterns of secret values (RE2 syntax). The first group is replaced, or all of it if there is none."""
    allow: tuple[str, ...] = ()
    """Names of keys that are never taken for secrets, in any spelling. Their values are still searched for secrets."""


class Redactor:
    """Redacts batches; knows nothing of where they come from. Not for several threads at once: it remembers keys."""

    def __init__(self, config: RedactConfig | None = None) -> None:
        self._config = config or RedactConfig()
        self._maybe = re2.compile(hints(self._config.keys).encode(), _over_bytes())
        self._keys = _Keys(self._config)
        self._shapes = [(shape.rule, re2.compile(shape.pattern)) for shape in SHAPES]
        self._shapes += [(CUSTOM_RULE, re2.compile(pattern)) for pattern in self._config.patterns]
        self._named = [re2.compile(pattern) for pattern in (COOKIES, IN_TEXT, AS_OPTION, AS_ITEMS)]

    def redact(self, records: Sequence[LogRecord], text: bytes | None = None) -> tuple[Sequence[LogRecord], dict[str, int]]:
        """The records without their secrets, and how many were taken out by which rule.

        `text` is all the raw bytes the records came from (`Parser.text`); without it every record is looked at. A pattern of the user's may
        look for anything, so with one every record is looked at, too.
        """
        if not self._config.enabled or (text is not None and not self._config.patterns and not self._maybe.search(text)):
            return records, {}
        counts: Counter[str] = Counter()
        clean = Records()
        for segment in records.segments if isinstance(records, Records) else [records]:
            clean += segment if self._is_clean(segment) else [self._record(record, counts) for record in segment]
        return clean, dict(counts)

    def text(self, text: str) -> str:
        """A text without secrets: for messages of servers and errors that we repeat."""
        return self._text(text, Counter()) if self._config.enabled else text

    def _is_clean(self, records: Sequence[LogRecord]) -> bool:
        """Whether the lines of a block hold nothing that might be a secret."""
        return (
            isinstance(records, Block)
            and not self._config.patterns
            and not self._maybe.search(b"\n".join([line for _, line in records.lines]))
        )

    def _record(self, record: LogRecord, counts: Counter[str]) -> LogRecord:
        attributes = record.attributes
        named = [key for key in attributes if self._keys[key]]
        if self._texts_are_clean(record):
            return record if not named else self._without(record, named, counts)
        return self._thoroughly(record, counts)

    def _texts_are_clean(self, record: LogRecord) -> bool:
        """Whether all values are flat and one search over the texts among them finds nothing: true of nearly every record."""
        values = (record.body, *record.attributes.values())
        if self._config.patterns or any(type(value) in _NESTED for value in values):
            return False
        text = "\n".join([value for value in values if isinstance(value, str)])
        return not self._maybe.search(text.encode("utf-8", "backslashreplace"))

    def _without(self, record: LogRecord, keys: Sequence[str], counts: Counter[str]) -> LogRecord:
        masked = {key: self._masked(record.attributes[key], counts, numbers=not names_number(key)) for key in keys}
        return record._replace(attributes={**record.attributes, **masked})

    def _thoroughly(self, record: LogRecord, counts: Counter[str]) -> LogRecord:
        before = counts.total()
        body = self._value(record.body, counts)
        attributes = {key: self._entry(key, value, counts) for key, value in record.attributes.items()}
        return record if counts.total() == before else record._replace(body=body, attributes=attributes)

    def _entry(self, key: str, value: Value, counts: Counter[str]) -> Value:
        return self._masked(value, counts, numbers=not names_number(key)) if self._keys[key] else self._value(value, counts)

    def _value(self, value: Value, counts: Counter[str]) -> Value:
        if isinstance(value, str):
            return self._text(value, counts)
        if isinstance(value, list):
            return [self._item(before, item, counts) for before, item in zip((None, *value), value, strict=False)]
        if isinstance(value, dict):
            return {key: self._entry(key, item, counts) for key, item in value.items()}
        return value

    def _item(self, before: Value, item: Value, counts: Counter[str]) -> Value:
        """An item of a list; behind an option with a secret's name (`["--password", "…"]`) it is that option's argument."""
        name = option_name(before) if type(before) is str and before[:1] == "-" else ""
        if not name or not self._keys[name] or (type(item) is str and _is_no_secret(name, item)):
            return self._value(item, counts)
        return self._masked(item, counts, numbers=not names_number(name))

    def _masked(self, value: Value, counts: Counter[str], *, numbers: bool) -> Value:
        """The value with each leaf replaced that could tell something; booleans, nulls and empty texts do not."""
        if isinstance(value, list):
            return [self._masked(item, counts, numbers=numbers) for item in value]
        if isinstance(value, dict):
            return {key: self._masked(item, counts, numbers=numbers) for key, item in value.items()}
        if value is None or isinstance(value, bool) or value in ("", b"", REDACTED) or (isinstance(value, (int, float)) and not numbers):
            return value
        counts[KEY_RULE] += 1
        return REDACTED

    def _text(self, text: str, counts: Counter[str]) -> str:
        raw = text.encode("utf-8", "backslashreplace")
        if not self._maybe.search(raw) and not self._config.patterns:
            return text
        text = raw.decode()
        for pattern in self._named:
            text = pattern.sub(self._named_value(counts), text)
        for rule, pattern in self._shapes:
            text = pattern.sub(_replacer(rule, counts), text)
        return text

    def _named_value(self, counts: Counter[str]) -> Callable[[re2.Match[str]], str]:
        def replace(match: re2.Match[str]) -> str:
            key, between, value = match.group(1), match.group(2), match.group(3)
            bare = value.lstrip("\\\"'")
            harmless = bare.startswith(REDACTED[:-1]) or (bare.isdigit() and names_number(key))
            if not bare or harmless or not self._keys[key.lstrip("-")]:
                return str(match.group(0))
            counts[TEXT_RULE] += 1
            return f"{key}{between}{value[: len(value) - len(bare)]}{REDACTED}"

        return replace


class _Keys(dict[str, bool]):
    """Key → whether it names a secret; started afresh when a writer makes up ever new keys."""

    def __init__(self, config: RedactConfig) -> None:
        super().__init__()
        self._extra = frozenset(normal(key) for key in config.keys)
        self._allowed = frozenset(normal(key) for key in config.allow)

    def __missing__(self, key: str) -> bool:
        """Decide one."""
        words = normal(key)
        made = words not in self._allowed and (words in self._extra or names_secret(key))
        if len(self) >= 4096:
            self.clear()
        if len(key) <= 128:
            self[key] = made
        return made


def _is_no_secret(option: str, argument: str) -> bool:
    """Whether what follows an option is another one, or a number that counts."""
    return argument[:1] == "-" or (argument.isdigit() and names_number(option))


def _replacer(rule: str, counts: Counter[str]) -> Callable[[re2.Match[str]], str]:
    """Replaces the last group of a match, or all of it where there is none."""

    def replace(match: re2.Match[str]) -> str:
        group = 1 if match.re.groups else 0
        start, end = match.span(group)
        whole: str = match.group(0)
        if start < 0 or match.group(group) == REDACTED:
            return whole
        counts[rule] += 1
        return whole[: start - match.start()] + REDACTED + whole[end - match.start() :]

    return replace


def _over_bytes() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = False
    options.never_capture = True
    return options
