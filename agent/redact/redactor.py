"""Goes through records and puts `[REDACTED]` in the place of each secret.

    chunk ──▶ one search over the raw bytes ──nothing──▶ the records as they are
                       └─ perhaps ──▶ each record: keys, then texts ──▶ `[REDACTED]` in place of the value, counted by rule

The search may report too much, never too little: a record that came from the searched bytes and that the exact rules would change has always
been reported (a property test holds it to that). Structure stays: below a sensitive key each leaf is replaced, the keys remain.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Final

import re2

from agent.columns import Block, Records
from agent.component import ComponentConfig
from agent.parse.patterns import Pattern  # noqa: TC001 - pydantic reads it
from agent.redact import hints
from agent.redact.names import REDACTED, KeyKind, describes, is_credential_header, kind_of, names_number, normal, option_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.record import LogRecord, Value
    from agent.redact.texts import Texts

_NESTED: Final = frozenset((list, dict, bytes))
"""Types of values that hold texts without being one."""
KEY_RULE: Final = "key"
_LONGEST_KEY: Final = 128
"""Longer ones are decided each time: what is remembered stays small."""
_LONGEST_COUNT: Final = 7
"""Digits of a number that counts secrets, written as text."""
_LEAST_CARD: Final = 10**11
_EXPIRY: Final = frozenset(("exp_month", "expMonth", "expiryMonth", "expiry_month", "expiry", "expirationDate", "cvc", "cvv"))
"""Keys beside the number of a card."""
_SCHEMA_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object")
"""Keywords of JSON Schema for a property: its bounds are not secrets."""
_PAIRS: Final = (("name", "value"), ("key", "value"), ("field", "value"), ("header", "value"), ("parameter", "value"))
"""How a list of named values spells its entries: `{"name": "DB_PASSWORD", "value": "…"}`."""


class RedactConfig(ComponentConfig):
    """Redaction of secrets in log records, before they are stored."""

    enabled: bool = True
    """Replace secrets with `[REDACTED]`."""
    keys: tuple[str, ...] = ()
    """Further names of keys whose values are secrets, in any spelling: `pin_code` also means `pinCode` and `PIN-Code`."""
    patterns: tuple[Pattern, ...] = ()
    """Further patterns of secret values (RE2 syntax). The first group is replaced, or all of it if there is none."""
    allow: tuple[str, ...] = ()
    """Names of keys that are never taken for secrets, in any spelling. Their values are still searched for secrets."""


class Redactor:
    """Redacts batches, whatever their source. Not for several threads at once: it remembers keys."""

    def __init__(self, config: RedactConfig | None = None) -> None:
        self._config = config or RedactConfig()
        self._maybe = re2.compile(hints.pattern(self._config.keys), _over_bytes())
        self._keys = _Keys(self._config)
        self._plain = _Plain(self._text)

    @cached_property
    def _maybe_encoded(self) -> re2._Regexp[bytes]:
        """Made when the first message comes: few sources emit any."""
        return re2.compile(hints.encoded_pattern(self._config.keys), _over_bytes())

    @cached_property
    def _texts(self) -> Texts:
        """Made when the first text needs it: a workload without secrets does not pay for its patterns."""
        from agent.redact.texts import Texts  # noqa: PLC0415 - its tables and patterns cost memory

        return Texts(self._keys, self._config.keys, self._config.patterns)

    def redact(self, records: Sequence[LogRecord], text: bytes | None = None) -> tuple[Sequence[LogRecord], dict[str, int]]:
        """The records without their secrets, and how many were taken out by which rule.

        `text` is all the raw bytes the records came from (`Parser.text`); without it every record is looked at. A pattern of the user's may
        look for anything, so with one every record is looked at, too.
        """
        if not self._config.enabled or (text is not None and not self.may_change(text)):
            return records, {}
        counts: Counter[str] = Counter()
        clean = Records()
        for segment in records.segments if isinstance(records, Records) else [records]:
            clean += segment if self._is_clean(segment) else [self._record(record, counts) for record in segment]
        return clean, dict(counts)

    def may_change(self, text: bytes) -> bool:
        """Whether something in a text may be a secret."""
        return self._config.enabled and bool(self._config.patterns or self._maybe.search(text))

    def may_change_encoded(self, message: bytes) -> bool:
        """The same for the texts and numbers of a serialized OTLP message, whose last text has an end too."""
        return self._config.enabled and bool(self._config.patterns or self._maybe_encoded.search(message + b"\0"))

    def text(self, text: str) -> str:
        """A text without secrets: for messages of servers and errors that we repeat."""
        return self._text(text, Counter()) if self._config.enabled else text

    def attributes(self, attributes: Mapping[str, Value]) -> Mapping[str, Value]:
        """Attributes without secrets: those of a resource or a scope, which are not a record's own."""
        return self._dict(attributes, Counter()) if self._config.enabled else attributes

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
        """Whether all values are flat and one search over the texts and keys among them finds nothing: true of nearly every record."""
        values = (record.body, *record.attributes.values())
        if self._config.patterns or any(type(value) in _NESTED for value in values):
            return False
        text = "\n".join([str(value) for value in values if isinstance(value, str) or _may_be_card(value)])
        return not self._maybe.search(text.encode("utf-8", "backslashreplace")) and all(map(self._plain.__getitem__, record.attributes))

    def _without(self, record: LogRecord, keys: Sequence[str], counts: Counter[str]) -> LogRecord:
        before = counts.total()
        masked = {key: self._masked(key, record.attributes[key], counts) for key in keys}
        return record if counts.total() == before else record._replace(attributes={**record.attributes, **masked})

    def _thoroughly(self, record: LogRecord, counts: Counter[str]) -> LogRecord:
        before = counts.total()
        body = self._value(record.body, counts)
        attributes = self._dict(record.attributes, counts)
        return record if counts.total() == before else record._replace(body=body, attributes=attributes)

    def _value(self, value: Value, counts: Counter[str], key: str = "") -> Value:
        if isinstance(value, str):
            return self._text(value, counts, key)
        if isinstance(value, list):
            return self._list(value, counts, key)
        if isinstance(value, bytes):
            return self._bytes(value, counts, key)
        if _may_be_card(value):
            text = self._text(str(value), counts, key)
            return value if text == str(value) else text
        return self._dict(value, counts, key) if isinstance(value, dict) else value

    def _bytes(self, value: bytes, counts: Counter[str], key: str) -> bytes:
        """Bytes that are a text are searched as one."""
        text = value.decode("utf-8", "surrogateescape")
        clean = self._text(text, counts, key)
        return value if clean == text else clean.encode("utf-8", "surrogateescape")

    def _dict(self, value: Mapping[str, Value], counts: Counter[str], parent: str = "") -> dict[str, Value]:
        """A mapping, which stands under the key `parent`; a secret in a key goes, too, and no two keys become one."""
        clean: dict[str, Value] = {}
        named = _named_entry(value)
        parent = f"{parent} card" if _EXPIRY.intersection(value) else parent
        for key, item in value.items():
            text = key if self._plain[key] else self._text(key, counts)
            name = f"{text} {len(clean)}" if text in clean else text
            clean[name] = self._entry(str(value[named[0]]) if named and key == named[1] else key, item, counts, parent)
        return clean

    def _entry(self, key: str, value: Value, counts: Counter[str], parent: str) -> Value:
        return self._masked(key, value, counts) if self._keys[key] else self._value(value, counts, f"{parent} {key}"[-_LONGEST_KEY:])

    def _list(self, items: list[Value], counts: Counter[str], key: str) -> list[Value]:
        words = [item for item in items if isinstance(item, str)]
        clean: Sequence[Value] = self._texts.command(words, counts) if 1 < len(words) == len(items) else items
        return [self._item(before, item, counts, key) for before, item in zip((None, *clean), clean, strict=False)]

    def _item(self, before: Value, item: Value, counts: Counter[str], key: str) -> Value:
        """An item of the list `key`; behind an option with a secret's name (`["--password", "…"]`) it is that option's argument."""
        if type(before) is type(item) is str and is_credential_header(before, item):
            return self._masked(before, item, counts)
        name = option_name(before) if type(before) is str and before[:1] == "-" else ""
        if not name or not self._keys[name] or (type(item) is str and _is_no_secret(name, item)):
            return self._value(item, counts, key)
        return self._masked(name, item, counts)

    def _masked(self, key: str, value: Value, counts: Counter[str]) -> Value:
        """The value with each leaf replaced that tells something; booleans, nulls and words such as `none` do not."""
        if isinstance(value, list):
            return [self._masked(key, item, counts) for item in value]
        if isinstance(value, dict):
            if value.get("type") in _SCHEMA_TYPES:
                return self._value(value, counts, key)
            return {
                name: self._entry(name, item, counts, key)
                if describes(key, name)
                else self._masked(max(key, name, key=self._keys.__getitem__), item, counts)
                for name, item in self._dict_keys(value, counts).items()
            }
        if self._stays(key, value):
            return self._value(value, counts, key)
        counts[KEY_RULE] += 1
        return REDACTED

    def _dict_keys(self, value: Mapping[str, Value], counts: Counter[str]) -> dict[str, Value]:
        return dict(zip(self._dict(dict.fromkeys(value), counts), value.values(), strict=True))

    def _stays(self, key: str, value: Value) -> bool:
        if value is None or isinstance(value, bool) or value in ("", b"", REDACTED):
            return True
        if isinstance(value, (int, float)):
            return self._keys[key] is KeyKind.DOUBTFUL or names_number(key)
        if isinstance(value, str) and value.isdigit() and names_number(key) and len(value) <= _LONGEST_COUNT:
            return True
        return isinstance(value, str) and self._texts.tells_nothing(key, value)

    def _text(self, text: str, counts: Counter[str], key: str = "") -> str:
        raw = text.encode("utf-8", "backslashreplace")
        if not self._maybe.search(raw) and not self._config.patterns:
            return text
        return self._texts.clean(raw.decode(), counts, key)


class _Keys(dict[str, KeyKind]):
    """Key → whether it names a secret; emptied when a writer invents more and more keys."""

    def __init__(self, config: RedactConfig) -> None:
        super().__init__()
        self._extra = frozenset(normal(key) for key in config.keys)
        self._allowed = frozenset(normal(key) for key in config.allow)

    def __missing__(self, key: str) -> KeyKind:
        """Decide one."""
        words = normal(key)
        made = KeyKind.NO if words in self._allowed else KeyKind.SECRET if words in self._extra else kind_of(key)
        if len(self) >= 4096:
            self.clear()
        if len(key) <= _LONGEST_KEY:
            self[key] = made
        return made


class _Plain(dict[str, bool]):
    """Key → whether it holds no secret itself."""

    def __init__(self, clean: Callable[[str, Counter[str]], str]) -> None:
        super().__init__()
        self._clean = clean

    def __missing__(self, key: str) -> bool:
        """Decide one; only plain ones are remembered."""
        plain = self._clean(key, Counter()) == key
        if plain and len(key) <= _LONGEST_KEY:
            if len(self) >= 4096:
                self.clear()
            self[key] = True
        return plain


def _may_be_card(value: Value) -> bool:
    return type(value) is int and value > _LEAST_CARD


def _named_entry(value: Mapping[str, Value]) -> tuple[str, str] | None:
    """The keys under which a mapping has a name and the value of that name."""
    if len(value) > 8:
        return None
    spelled = {key.lower(): key for key in value}
    for name, content in _PAIRS:
        if name in spelled and content in spelled and isinstance(value[spelled[name]], str):
            return spelled[name], spelled[content]
    return None


def _is_no_secret(option: str, argument: str) -> bool:
    """Whether what follows an option is another one, or a number that counts."""
    return argument[:1] == "-" or (argument.isdigit() and names_number(option))


def _over_bytes() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = False
    options.never_capture = True
    return options
