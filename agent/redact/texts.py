"""One running text: each place that may hold a secret is judged, and what is one is replaced; everything around it stays."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import re2

from agent.redact import below, cards, commands, named, statements
from agent.redact.hints import spelled
from agent.redact.names import REDACTED, KeyKind, names_number
from agent.redact.shapes import SHAPES
from agent.redact.values import could_be_password, goes_on, is_code, is_placeholder, looks_random, tells_nothing

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agent.redact.named import Named

TEXT_RULE: Final = "key_in_text"
CUSTOM_RULE: Final = "custom"
COMMAND_RULE: Final = "command"
CARD_RULE: Final = "card_number"
_QUOTES: Final = "\"'“„«「『`"
_FRAME: Final = re.compile(r'^([ |]*)File ".*", line \d+')
"""A frame of Python's tracebacks; the lines that are indented deeper than it are source."""
_DEEPEST: Final = 8
"""How often a value that is none is looked into: `token=Token(secret=…)`."""
_RESOURCE: Final = re.compile(r"\barn:\S*$|:\d{12}:$")
_LONGEST_ID: Final = 7
"""Digits of a number that counts sessions or tokens."""
_EXPECTED: Final = re.compile(r"(?i)(?:un)?expected\s$")
"""Words of parsers before `token`."""


class Texts:
    """Replaces secrets in texts. `kinds` says whether a key names one."""

    def __init__(self, kinds: Mapping[str, KeyKind], names: Sequence[str], own: Sequence[str]) -> None:
        self._kinds = kinds
        self._shapes = [(shape.rule, re2.compile(shape.pattern)) for shape in SHAPES]
        self._own = [re2.compile(pattern) for pattern in own]
        self._named = [(one, re2.compile(one.pattern)) for one in named.patterns(tuple(map(spelled, names)))]
        self._below = [(one, re2.compile(one.pattern)) for one in below.PATTERNS]
        self._commands = re2.compile("|".join(commands.PATTERNS))
        self._card = re2.compile(cards.CARD)

    def clean(self, text: str, counts: Counter[str], key: str = "") -> str:
        """The text without secrets; `key` names it."""
        text = self._without_positional(
            self._without_shapes(text, counts, self._shapes[:1]), counts
        )  # a key's lines before its first one is a value
        text = "".join(
            self._without_named(part if source else self._without_below(part, counts), counts, source=source)
            for source, part in _parts(text)
        )
        text = self._without_commands(self._without_shapes(text, counts, self._shapes[1:]), counts)
        text = self._card.sub(partial(_replace, partial(_is_card, key), CARD_RULE, counts), text)
        for pattern in self._own:
            text = pattern.sub(partial(_replace_first, counts), text)
        return text

    def tells_nothing(self, key: str, value: str) -> bool:
        """Whether the value of an attribute is not a secret although its key names one."""
        return tells_nothing(key, value) or (self._kinds[key] is KeyKind.DOUBTFUL and not looks_random(value))

    def command(self, arguments: list[str], counts: Counter[str]) -> list[str]:
        """The arguments of a program, without those that are passwords by their place."""
        joined, before = commands.SEPARATOR.join(arguments).encode("utf-8", "backslashreplace").decode(), counts.total()
        clean = self._without_commands(joined, counts).split(commands.SEPARATOR)
        return clean if counts.total() > before and len(clean) == len(arguments) else arguments

    @staticmethod
    def _without_shapes(text: str, counts: Counter[str], shapes: Sequence[tuple[str, re2.Pattern[str]]]) -> str:
        for rule, pattern in shapes:
            text = pattern.sub(partial(_replace, _JUDGES.get(rule, _is_new), rule, counts), text)
        return text

    def _without_commands(self, text: str, counts: Counter[str]) -> str:
        return str(self._commands.sub(partial(_replace, _is_argument, COMMAND_RULE, counts), text))

    def _without_positional(self, text: str, counts: Counter[str]) -> str:
        """The text without the values that SQL names by their place."""
        if "(" not in text:
            return text
        for start, end in reversed(statements.secrets(text, self._is_column)):
            counts[TEXT_RULE] += 1
            text = text[:start] + REDACTED + text[end:]
        return text

    def _is_column(self, name: str, value: str) -> bool:
        return (
            self._kinds[name] is KeyKind.SECRET
            and bool(value)
            and not (tells_nothing(name, value) or is_code(name, "", value, "") or _counts(name, value))
        )

    def _without_below(self, text: str, counts: Counter[str]) -> str:
        """The text without values that stand on the line below their name."""
        if "\n" not in text and "\\n" not in text:
            return text
        for one, pattern in self._below:
            text = pattern.sub(partial(self._named_value, one, counts, False, _DEEPEST), text)
        text, blocks = below.without_blocks(text, lambda key: self._kinds[key] is KeyKind.SECRET, REDACTED)
        counts[TEXT_RULE] += blocks
        return text

    def _without_named(self, text: str, counts: Counter[str], *, source: bool = False, depth: int = 0) -> str:
        for one, pattern in self._named:
            if not (source and one.prose):
                text = pattern.sub(partial(self._named_value, one, counts, source, depth), text)
        return text

    def _named_value(self, one: Named, counts: Counter[str], source: bool, depth: int, match: re2.Match[str]) -> str:
        if self._is_secret(one, match, source=source):
            return _replace(_is_new, TEXT_RULE, counts, match)
        start, end = _value_span(match)
        whole, first = str(match.group(0)), match.start()
        if depth >= _DEEPEST or end - start < 8:
            return whole
        inner = self._without_named(whole[start - first : end - first], counts, source=source, depth=depth + 1)
        return whole[: start - first] + inner + whole[end - first :]

    def _is_secret(self, one: Named, match: re2.Match[str], *, source: bool) -> bool:
        key, value = _key(match), str(match.group(match.lastindex))
        start, end = _value_span(match)
        text = match.string
        quoted = one.quoted or text[start - 1 : start] in _QUOTES
        if one.further:
            return goes_on(value)
        if not value or tells_nothing(key, value):
            return False
        if one.prose:
            return text[match.start(1) - 1 : match.start(1)] not in (".", "_", "-", "/") and _fits_sentence(key, value, quoted=quoted)
        kind = self._kinds[key]
        if kind is KeyKind.NO or _counts(key, value) or (source and not quoted):
            return False
        between, rest = text[match.end(1) : start], text[end : end + 80].split("\n", 1)[0]
        if _is_label(text[: match.start(1)], between, value):
            return False
        if not quoted and is_code(key, between, value, rest):
            return False
        if key == "pass" and not quoted and between.isspace():
            return False  # a verb: `pass --verbose`
        return looks_random(value, one.least or 6) if one.least or kind is KeyKind.DOUBTFUL else True


def _counts(key: str, value: str) -> bool:
    """Whether a value says how many there are, or lists words: `tokens = ['if', 'else']`."""
    if value.isdigit():
        return names_number(key) or key.lower().endswith("credentials") or (len(value) <= _LONGEST_ID and key.lower().endswith("_id"))
    return names_number(key) and value[:1] in "\"'" and not any(looks_random(item.strip(" '\"")) for item in value.split(","))


def _fits_sentence(key: str, value: str, *, quoted: bool) -> bool:
    """Whether a value behind "the … is" is a secret: passwords may be words, of other secrets that is not likely."""
    lower = key.lower()
    if "pin" in lower:
        return value.isdigit() and 4 <= len(value) <= 8
    if any(word in lower for word in ("secret", "token", "key", "cred")):
        return looks_random(value, 8)
    return (quoted and bool(value.strip())) or could_be_password(value)


def _is_label(before: str, between: str, value: str) -> bool:
    """Whether a name is not followed by its value: `print("Password:", end="")`, `${PASSWORD:?missing}`, psql's `:'name'`, a parser's complaint."""
    if between.startswith("]:") and value.startswith(("http", "#")):
        return True  # a link of Markdown
    if _RESOURCE.search(before[-80:]):
        return True  # a resource, which has a secret's name
    opened = before[-1:] in _QUOTES and between[:-1] == ":" and between[-1:] == before[-1:]
    return (
        opened or between in (" :'", ' :"') or (before.endswith("${") and value[:1] in "?+") or _EXPECTED.search(before[-16:]) is not None
    )


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """The text cut at the end of lines into (is source, part)."""
    if 'File "' not in text:
        yield False, text
        return
    margin: str | None = None
    gathered: list[str] = []
    was_source = False
    for line in text.splitlines(keepends=True):
        frame = _FRAME.match(line)
        source = frame is None and margin is not None and line.startswith(margin + "  ")
        margin = frame[1] if frame else margin if source else None
        if source is not was_source and gathered:
            yield was_source, "".join(gathered)
            gathered = []
        was_source = source
        gathered.append(line)
    yield was_source, "".join(gathered)


def _value_span(match: re2.Match[str]) -> tuple[int, int]:
    start, end = match.span(match.lastindex or 0)
    return start, end


def _key(match: re2.Match[str]) -> str:
    """The key without what belongs to the colour, the escape or the percent sign before it."""
    key = str(match.group(1))
    before = match.string[: match.start(1)][-2:]
    if before.endswith("\\"):
        return re.sub(r"^(?:u00[0-9a-fA-F]{2}|[nrt])", "", key)
    if before.endswith("%"):
        return re.sub(r"^(?:25)*[0-9a-fA-F]{2}", "", key)
    if before.endswith("[") or before[-1:] == ";":
        return re.sub(r"^\d*m", "", key)
    return key.lstrip("-")


def _is_new(match: re2.Match[str]) -> bool:
    value = str(match.group(match.lastindex or 0))
    return bool(value.strip()) and not value.lstrip("[({").startswith("REDACTED")


def _is_in_url(match: re2.Match[str]) -> bool:
    return _is_new(match) and not is_placeholder(str(match.group(1)))


def _is_argument(match: re2.Match[str]) -> bool:
    value = str(match.group(match.lastindex or 0))
    return _is_new(match) and not (value.isdigit() and len(value) == 5) and not tells_nothing("", value)


def _is_card(key: str, match: re2.Match[str]) -> bool:
    return cards.is_card(str(match.group(1)), f"{key}: "[-40:] + match.string[: match.start(1)] if key else match.string[: match.start(1)])


def _is_random(match: re2.Match[str]) -> bool:
    return _is_new(match) and looks_random(str(match.group(1)))


_JUDGES: Final[Mapping[str, Callable[[re2.Match[str]], bool]]] = {
    "url_password": _is_in_url,
    "url_key": _is_in_url,
    "basic": _is_random,
    "link": _is_random,
    "login": _is_random,
}
"""Shapes that also ordinary text has."""


def _replace_first(counts: Counter[str], match: re2.Match[str]) -> str:
    """A user's pattern: the first group is replaced, or all of it if there is none."""
    start, end = match.span(1 if match.re.groups else 0)
    whole, first = str(match.group(0)), match.start()
    if start < 0 or whole[start - first : end - first] == REDACTED:
        return whole
    counts[CUSTOM_RULE] += 1
    return whole[: start - first] + REDACTED + whole[end - first :]


def _replace(is_secret: Callable[[re2.Match[str]], bool], rule: str, counts: Counter[str], match: re2.Match[str]) -> str:
    """Replaces the last group of a match that takes part, or all of it where there is none."""
    whole = str(match.group(0))
    if not is_secret(match):
        return whole
    start, end = _value_span(match)
    counts[rule] += 1
    return whole[: start - match.start()] + REDACTED + whole[end - match.start() :]
