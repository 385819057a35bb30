"""What counts as a secret: names of keys, and shapes of values. Pure tables and the two questions asked of them.

Names. A key is taken apart at capitals and punctuation (`dbPassword`, `X-Api-Key`, `db.password` → words), so that spelling doesn't matter.
`token_count`, `password_policy` or `secret_name` speak about a secret and are left; so are booleans, and the numbers of `tokens`
(`prompt_tokens: 512`). `session` is a secret as a whole word or with `id`, `key`, `token`; `session_duration` is not.

Shapes. What is a secret wherever it stands: private keys, JSON Web Tokens, keys of the large vendors, passwords in URLs, credentials of an
Authorization header, and `password=…` in running text. Every pattern is RE2's, so none can take more than linear time. Shapes that ordinary
numbers share (payment cards) are not among them: an order number would be lost now and then.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_GAP: Final = "[^a-z0-9]*"
_NAMES: Final = (
    "passw", "passphrase", "passcode", "pwd", "secret", "token", "authoriz", "cookie", "credential", "creds", "dsn", "jwt", "auth",
    "session", f"api{_GAP}key", f"private{_GAP}key", f"access{_GAP}key", f"signing{_GAP}key", f"encryption{_GAP}key", f"master{_GAP}key",
    f"account{_GAP}key", f"ssh{_GAP}key", f"(?:db|user|mysql|pg|postgres|redis|smtp|ftp|admin|root|login){_GAP}pass",
)  # fmt: skip
"""What each sensitive key has in its raw bytes, however it is spelled: no sensitive key is without one of these."""
_NARROW: Final = {"auth": "auth[^a-z0-9]", "session": f"session(?:{_GAP}(?:id|key|token|cookie)|_*[^a-z0-9_])"}
"""Names that many harmless words begin with, as far as a key has them."""

_SENSITIVE: Final = re.compile(
    r"(?:^|_)(?:[a-z0-9]*passw(?:or)?ds?|[a-z0-9]*passphrase|[a-z0-9]*passcode|pwd|[a-z0-9]*secrets?|[a-z0-9]*tokens?"
    r"|(?:proxy_?)?authorization|cookies?|[a-z0-9]*credentials?|creds|jwt|dsn"
    r"|(?:x_?)?(?:api|private|access|signing|encryption|master|account|auth|ssh)_?keys?|[a-z0-9]*(?:apikey|privatekey)"
    r"|session_?(?:id|key|token|cookie)|(?:db|user|mysql|pg|postgres|redis|smtp|ftp|admin|root|login)_?pass)(?:_|$)"
    r"|^(?:auth|session)$"
)
_ABOUT: Final = re.compile(
    r"_(?:counts?|limits?|len|length|size|usage|used|total|type|ttl|expir(?:y|es|ed|ation)(?:_(?:at|in))?|age|polic(?:y|ies)|name|rate"
    r"|budget|remaining|required|enabled|valid|per_second|version)$"
)
_COUNTABLE: Final = re.compile(r"(?:^|_)tokens(?:_|$)")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OPTION: Final = re.compile(r"--?([A-Za-z][\w.-]*)", re.ASCII)
_PUNCTUATION: Final = re.compile(r"[^A-Za-z0-9]+")


class Shape(NamedTuple):
    """One shape of secret values: `pattern` with the secret as its last group, and `hint`, which every raw line with one must hold.

    The hint is searched in bytes as they were written, where JSON may have put a backslash before what the pattern sees, or the letter of an
    escape: so it has no word boundaries and no white space.
    """

    rule: str
    pattern: str
    hint: str


SHAPES: Final = (
    Shape(
        "private_key",
        r"(-{0,5}BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|\z))",
        r"private key",
    ),
    Shape("jwt", r"(eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*(?:\.[\w-]+){0,2})", r"eyj[\w-]{8}"),
    Shape(
        "aws_key", r"\b((?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|AIPA)[A-Z0-9]{16})\b", r"(?:a[ks]ia|agpa|aida|aroa|an[pv]a|aipa)[a-z0-9]{16}"
    ),
    Shape("url_password", r"""://[^\s/:@"'<>]*:([^\s/"'<>]+)@""", r""":\\*/\\*/[^\s/"'<>]*@"""),
    Shape("url_key", r"""://([\w-]{16,})(?::[^\s/@"'<>]*)?@""", r""":\\*/\\*/[^\s/"'<>]*@"""),
    Shape("bearer", r"(?i)\bbearer\s+([a-z._~+/-]*[0-9][\w.~+/-]{5,}=*|[a-z._~+/-]{24,}=*)", r"bearer"),
    Shape("basic", r"\b[Bb]asic\s+([A-Za-z0-9+/]{6,}={1,2}|[A-Za-z]*[0-9+/][A-Za-z0-9+/]{7,})", r"basic[^a-z0-9]+[a-z0-9+/]{7}"),
    Shape(
        "vendor_token",
        r"((?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}|[sr]k_(?:live|test)_\w{10,}"
        r"|whsec_[\w+/=]{16,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|\bsk-[\w-]{20,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}|SG\.[\w-]{16,}\.[\w-]{16,}"
        r"|do[opr]_v1_[a-f0-9]{40,}|hf_[A-Za-z0-9]{30,}|hvs\.[\w-]{20,}|sntry[su]_[\w+/=-]{20,}|\b\d{8,10}:AA[\w-]{33}"
        r"|hooks\.slack\.com/services/[\w/]{20,}))",
        r"gh[pousr]_[a-z0-9]{30}|github_pat_|glpat-|xox[abeoprs]-|xapp-|[sr]k_(?:live|test)_|whsec_|aiza[\w-]{35}|ya29\.|sk-[\w-]{20}"
        r"|npm_[a-z0-9]{30}|pypi-[\w-]{40}|sg\.[\w-]{16}|do[opr]_v1_|hf_[a-z0-9]{30}|hvs\.|sntry[su]_|[0-9]{8}:aa[\w-]{33}|hooks\.slack\.com",
    ),
)

_QUOTED_OR_BARE: Final = (
    r"""(\\+["'][^"'\\]*|"(?:[^"\\]|\\.)*|'(?:[^'\\]|\\.)*|(?:(?:basic|bearer|token|digest|negotiate|apikey)\s+)?[^\s"',;&)}\]>]+)"""
)
IN_TEXT: Final = rf"""(?i)([\w.-]*(?:{"|".join(_NAMES)})[\w.-]*)(\\*["']?\s*(?:=>|:=|[=:])\s*){_QUOTED_OR_BARE}"""
"""`password=…`, `"api_key": "…"`, `token => …` in running text: key, what stands between, value."""
AS_OPTION: Final = rf"""(?i)(--[\w-]*(?:{"|".join(_NAMES)})[\w-]*)(\s+)([^\s-][^\s]*)"""
"""`--password …` in a command line."""
_QUOTED_ITEM: Final = r"""(\\+["'][^"'\\-][^"'\\]*|"(?:[^"\\-]|\\.)(?:[^"\\]|\\.)*|'(?:[^'\\-]|\\.)(?:[^'\\]|\\.)*)"""
AS_ITEMS: Final = rf"""(?i)(--[\w-]*(?:{"|".join(_NAMES)})[\w-]*)(\\*["']\s*,\s*){_QUOTED_ITEM}"""
"""The same as a program's arguments are printed: `'--password', '…'`."""
COOKIES: Final = r"""(?i)\b((?:set-)?cookie)(\\*["']?\s*[=:]\s*\\*["']?)([^\r\n"'\\]+)"""
"""A header with cookies goes to the end of its line."""

ESCAPES: Final = r"\\u00[2-7]"
"""A letter that was written as an escape may be any of the letters that the hints look for."""


def normal(key: str) -> str:
    """The words of a key in lower case, joined by `_`."""
    return _PUNCTUATION.sub("_", _CAMEL.sub("_", key)).strip("_").lower()


def names_secret(key: str) -> bool:
    """Whether what stands under this key is a secret."""
    words = normal(key)
    return _SENSITIVE.search(words) is not None and _ABOUT.search(words) is None


def option_name(argument: str) -> str:
    """The name of an option whose argument comes next on the command line; empty where none does, as for `--name=…`."""
    match = _OPTION.fullmatch(argument)
    return match[1] if match else ""


def names_number(key: str) -> bool:
    """Whether a number under this key counts something: `tokens` of a language model."""
    return _COUNTABLE.search(normal(key)) is not None


def hints(extra_names: tuple[str, ...]) -> str:
    """One pattern for all that a raw chunk with any secret must hold (without case, over bytes)."""
    extra = (_GAP.join(re.escape(word) for word in normal(name).split("_")) for name in extra_names)
    return "|".join((*(_NARROW.get(name, name) for name in _NAMES), *extra, *dict.fromkeys(shape.hint for shape in SHAPES), ESCAPES))
