"""The template of a message: the message with `%s` for everything that looks like a value. Pure.

A program's own template is not in its log. Messages of one statement of a program shall give one template, as the `%s`-arguments of `logging`
do in the SDK, and messages of two statements two. If both is not possible, words stay: a word without a digit is a value only if it is a host name with a
well-known ending, or stands behind a key (`side=buy`) that does not name the problem (`error=timeout`).
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 2048
"""Characters that are looked at; the rest is left out of the template."""

_TERMS: Final = (
    r"utf-?\d+(?:mb\d|-sig)?|ucs-?\d|latin-?1|iso-?\d{4,5}(?:-\d+)?|cp125\d|base-?(?:16|32|58|64|85)|"
    r"md[245]|sha-?(?:1|2|3|224|256|384|512)|crc-?(?:8|16|32)|blake[23][bs]?|ed25519|x25519|aes-?(?:128|192|256)|[rehp]s(?:256|384|512)|"
    r"ip-?v[46]|http[23]|h26[456]|tls-?v?1(?:\.\d)?|sslv?[23]|oauth-?[12](?:\.0)?|x509|socks[45]|"
    r"u?int(?:8|16|32|64|128)|float(?:16|32|64|128)|x86(?:_64)?|x64|amd64|i[36]86|arm64|aarch64|win(?:32|64)|"
    r"s3|ec2|k8s|k3s|i18n|l10n|a11y|p2p|b2b|b2c|e2e|m2m|2fa|2pc|3ds|p9[59]|mp[34]|bz2|lz4|neo4j|log4j|slf4j|web3|"
    r"sqlite3|psycopg[23]|boto3|urllib[23]|jinja2|python[23]|py[23]|pb2|proto[23]"
)
"""Technical terms that have a digit: where only these differ, two messages are two problems."""
_ENDINGS: Final = r"com|net|org|edu|gov|internal|intranet|localdomain|lan|corp|invalid|de|uk|fr|nl|eu|jp|br|ch"
_LONG_ENDINGS: Final = r"io|dev|app|ai|co|cloud|local|home|svc|example|test"
"""Endings of modules' and files' names as well: a host that has one has two labels before it."""
_HOST_END: Final = r"(?::\d{1,5})?(?![\w-]|\.\w)"

_BEHIND_EQUALS: Final = r"(?<==)(?!=)(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'|[^\s,;&)\]}>\"']{1,200})"
_STATEMENT: Final = r"(?<!\bevent=)(?<!\bmsg=)(?<!\bmessage=)"
"""Behind these keys words stay: they say which statement it is."""
_PROBLEM: Final = "(?<!error=)(?<!reason=)" + "".join(
    rf"(?<!\b{key}=)" for key in ("err", "exc", "exception", "cause", "type", "error_type", "kind", "code", "errno")
)
"""Behind these, too, as behind a colon: `error=timeout` and `error=refused` are two problems. A word with a digit is a value."""
_QUOTED: Final = (
    r"(?<![\"'`])(?:'(?:[^'\\\n]|\\.){0,200}'|\"(?:[^\"\\\n]|\\.){0,200}\"|`[^`\n]{1,200}`)(?!\w)",
    r"[\u201c\u00ab\u2018][^\u201c\u201d\u00ab\u00bb\u2018\u2019\n]{0,200}[\u201d\u00bb\u2019]",
)
_WRITTEN_BY_REPR: Final = (
    r"<(?=[^<>\n]{0,200}[\d'\"])[^\s<>=][^<>\n]{0,200}>",
    r"\[(?=[^\[\]\n]{0,300}[,'\"])(?=[^\[\]\n]{0,300}[\d'\"])[^\[\]\n]{1,300}\]",
    r"\{(?=[^{}\n]{0,300}[:,'\"])[^{}\n]{1,300}\}",
)
"""Objects, lists, dictionaries."""
_ABSOLUTE_PATH: Final = r"(?<![.:/\\~])(?:~|\.{1,2})?/[\w.@%+=:~*-]{1,255}(?:/[\w.@%+=:~*-]{1,255}){0,40}/?(?<![.:])"
_HEX_ADDRESS: Final = r"(?<![:.])(?=[0-9a-fA-F:]{0,40}\d)(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:%\w{1,15})?(?![\w:])"
"""IPv6 and hardware addresses."""
_URL: Final = r"[a-zA-Z][\w+.-]{1,20}://[^\s\"'<>\])},;]{1,500}(?<![.:!?])"
_MAIL: Final = r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
_FILE: Final = r"(?<![./\\-])[\w-]{1,64}(?:/[\w.-]{1,64}){1,20}\.[a-zA-Z]\w{0,7}(?![\w/])"
"""A relative path that ends in a file with a suffix."""
_WINDOWS_PATH: Final = r"[A-Za-z]:\\(?:[^\s\"'<>|:*?]{1,255})?"
_HOST: Final = (
    rf"(?<![.-])(?:[\w-]{{1,63}}\.){{1,8}}(?:{_ENDINGS}){_HOST_END}",
    rf"(?<![.-])(?:[\w-]{{1,63}}\.){{2,8}}(?:{_LONG_ENDINGS}){_HOST_END}",
)
_WITH_DIGIT: Final = r"(?<!-)[+-]?(?=[A-Za-z_.@+-]{0,80}\d)\w(?:\w|[.@+-](?=\w)|(?<=\d)[:,](?=\d)){0,120}"
"""Numbers, times, addresses, ids, durations, sizes."""
_LIKELY: Final = r"(?=[^\s\d@/\\.:]{0,100}[\d@/\\.:])"
"""Of a plain word all that is tried is this."""
_VALUE: Final = re.compile(
    rf"(?<!\w){_STATEMENT}(?:{_PROBLEM}(?:{'|'.join((_BEHIND_EQUALS, *_QUOTED))})|{'|'.join((*_WRITTEN_BY_REPR, _ABSOLUTE_PATH))}"
    rf"|{_LIKELY}(?:{'|'.join((_URL, _MAIL, _FILE, _WINDOWS_PATH, _HEX_ADDRESS, *_HOST, _WITH_DIGIT))}))"
)
_MAY_HAVE: Final = re.compile(r"[\d'\"`=<\[{/@\\.:\u201c\u00ab\u2018]")
"""A message without any of these has no value."""
_KEPT: Final = re.compile(rf"(?i:{_TERMS})(?:[-.][a-z]+)*|[A-Z][a-z]+\d{{1,2}}[A-Z][a-z]\w*")
"""Terms, with what they are composed with, and names of classes."""
_NAMED: Final = re.compile(r"([A-Za-z][A-Za-z_]{2,62}[-_])\d{1,20}")
"""A thing with its number, as in `worker-3`: what it is stays."""


def parametrise(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with `%s` for each value, and the values. A text without any comes back as it is."""
    text = text[:LONGEST]
    if _MAY_HAVE.search(text) is None:
        return text, ()
    parts: list[str] = []
    values: list[str] = []
    end = 0
    for match in _VALUE.finditer(text):
        begin = _begin(match)
        if begin < match.end():
            parts += text[end:begin].replace("%", "%%"), "%s"
            values.append(text[begin : match.end()])
            end = match.end()
    return ("".join((*parts, text[end:].replace("%", "%%"))), tuple(values)) if values else (text, ())


def _begin(match: re.Match[str]) -> int:
    """Where the value begins in what was found; its end if there is none."""
    found = match[0]
    if _KEPT.fullmatch(found):
        return match.end()
    named = _NAMED.fullmatch(found)
    return match.start() + (named.end(1) if named else 0)
