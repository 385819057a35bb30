"""Which values under a secret's name are not secrets: a word about it, a mask, a placeholder, a path; in program text also an expression.

Each question is asked of one value and decided from its spelling alone. If undecided, a value is a secret.
"""

from __future__ import annotations

import re
from typing import Final

from agent.redact.names import KeyKind, kind_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS: Final = _words(
    """none null nil undefined n/a na nan unset empty blank missing true false yes no on off unknown default anonymous required optional
    mandatory valid invalid expired expiring ok okay failed failure failing success successful succeeded denied granted accepted rejected
    enabled disabled set found absent present provided given supplied changed updated reset rotated revoked refreshed renewed issued
    created deleted removed added stored saved loaded cached hashed encrypted masked hidden sensitive known expected unexpected computed generated auto-generated redacted filtered removed omitted sanitized
    scrubbed obfuscated protected confidential stripped suppressed incorrect correct wrong mismatch matched matches weak strong unchanged
    verified unverified allowed forbidden unauthorized authenticated ready started stopped ended closed opened active inactive pending
    basic bearer digest token oauth oauth2 negotiate kerberos ntlm saml oidc ldap pam gssapi spnego md5 sha1 sha256 sha512 sha-256 sha-512
    scram scram-sha-1 scram-sha-256 scram-sha-512 bcrypt scrypt argon2 argon2id pbkdf2 hmac hmac-sha256 hs256 rs256 es256 ed25519 jwt mtls
    tls ssl this that the an your its not is was are were be been being must should shall will would cannot can't could may might has have
    had does did for from with without in of to at by as or and if then else when while only still now never already too very please
    via amd64 arm64 i386 all must-change falsch ungültig abgelaufen erforderlich fehlt leer vergessen geändert incorrecta incorrecto inválida inválido requerida
    requerido caducada vacía olvidada incorrecte expiré obligatoire oublié manquant incorreta incorreto esquecida obrigatória неверный
    неверен истёк обязателен 错误 必填 为空 无效 不正确 错了 誤り 必須 無効 틀림 errata scaduta obbligatoria onjuist verlopen błędne nieprawidłowe wymagane"""
)
"""Words that say something about a secret where it would stand, in lower case."""
_ABOUT_PASSWORDS: Final = _words(
    """here there again about against between during before after because but so than which who what where how needed necessary available
    unavailable unsupported supported ignored skipped accepted used unused reused shared secure insecure safe unsafe good bad fine short
    long simple complex easy hard more less also can it my do and/or one two three only same different private public internal external
    system correctly properly identical equal common compromised breached leaked pwned like just really always required/optional plaintext
    clear mandatory. auth authentication manager reset change prompt field hash hashes policy protection protected based file hint entry
    dialog form page user host attempt read taken kept held sent shown written put got try again login verification check checks validation length strength history generator grant flow store mismatch update expiry
    input vergessen vergeben"""
)
"""Words that describe a password behind "is", in lower case."""
_TYPES: Final = _words(
    """str int bytes bool float object any none string secretstr secretbytes text varchar char character varying nvarchar uuid number boolean
    integer type bytea blob json jsonb dict list tuple set final self literal never path array array<string> &str &'static bytearray
    memoryview token secret credentials credential timestamp timestamptz datetime date unknown void interface{} []byte"""
)
"""Types of programs and tables, in lower case: what stands behind the colon of an annotation."""
_SENTENCE: Final = re.compile(
    r"(?i)\b(?:required|must|invalid|incorrect|expired|missing|cannot|failed|denied|match(?:es)?|empty|provided|found|supported|allowed"
    r"|characters|wrong|field|unset|rotated|revoked|disabled|verify|validate|refresh(?:ed)?)\b"
)
_MASK: Final = re.compile(
    r"(?i)[*•●.…#_\-]{2,}\w{0,4}|[\w-]{0,8}(?:\.{3}|…|\*{3,})\w{0,6}|\*+|[xX]{3,}|[\[(<{*]+(?:redacted|filtered|hidden|masked|removed|secret|sensitive|scrubbed|omitted)\W*|[()\[\]{}'\",;\s]+|(?:\w+ )?[(\[{]*\[?REDACTED\]?.*"
)
_PLACEHOLDER: Final = re.compile(
    r"<[^<>]*>?|\$?\{\{.*?\}\}|[$#]\{[^{}]*\}?|%?\{[\w.:/?! |-]*\}?|(?:Optional|Union|List|Dict|Type|Callable|Literal)\[.*|\$\([^()]*\)?|\$[A-Z_][A-Z0-9_]*|\$[0-9]$|%\([\w.]+\)s?|%[sdrvq]|%[A-Z_]{3,}%|<%.*?%>"
)
_ONLY_PLACEHOLDER: Final = re.compile(
    r":[a-z_]\w*|\?[0-9]*|@[a-z_]\w*|!!?[A-Z]\w*|!!\w+|!(?:vault|secret|env|ref|sub)|[|>][+-]?|[&*][a-z_][\w-]*|\.{1,3}|…|[-\u2013\u2014]+"
)
_STAND_IN: Final = re.compile(
    r"(?:NEW_|OLD_|MY_)?(?:VALUE|STRING|TEXT|PASSWORD|PASS|SECRET|TOKEN|KEY|API_KEY|APIKEY)|(?:YOUR|MY)_[A-Z_]+|your[_-][a-z_-]+"
)
"""Words of documentation that a reader replaces."""
_LEXEME: Final = re.compile(r"[A-Z][A-Z_]{1,15}")
"""Names of kinds of tokens in parsers."""
_SCHEME: Final = re.compile(r"(?i)^(?:basic|bearer|token|digest|bot|apikey)?[\s:/@,;.\"'\\|-]*$")
_PATH: Final = re.compile(
    r"(?:~|\.{1,2})?/(?:run|var|etc|home|tmp|opt|usr|srv|app|apps|secrets?|mnt|proc|root|dev|data|vault|workspace|users?|Users|code|src|bin"
    r"|lib|sys|build|project|repo|certs?|keys?|config|private|nix|media|boot)(?:/[\w.@~+ -]*)*|[A-Za-z]:\\[^:]*|~(?:/[\w.@+-]+)*|\.{1,2}/.*|(?:file|vault|arn|env|secretref|op|awssm):\S*"
)
_FOLDER: Final = re.compile(r"(?:~|/|\.{1,2}/|[A-Za-z]:[\\/]|\\\\).*")

_CALL: Final = re.compile(
    r"(?:(?:await|new|not|lambda|yield|typeof)\s+)?[&*!]?[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)*(\(|\[)"
)
_DOTTED: Final = re.compile(r"[&*!]?[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)+")
_CLASS: Final = re.compile(r"(?:[A-Z]+[a-z]+){2,}")
_CLASSES: Final = re.compile(r"[A-Z][A-Za-z]*(?:\.[A-Z][A-Za-z]*)+")
_OWNER: Final = _words(
    """self cls this that settings config cfg conf options opts args argv env environ environment os process request req response resp res ctx
    context app session user users data payload form body params props state kwargs credentials creds auth account client secrets module
    var local locals each values module input output event events headers obj object item row record result results match m s u t r c p k v
    old new excluded current other app_settings import.meta"""
)
"""Whose attributes programs assign: `self.token`, `u.password`."""
_VARIABLES: Final = _words(
    """value val data line match result response request key pw pwd text raw item row other default name user args kwargs secret_key x y p s t
    v k m n i e c u b f arg param params input output obj object element entry field node header headers payload body content cls self this
    func fn callback ctx return raise pass continue break yield await lambda del print assert in is new function async const let var nil
    undefined auth creds tok iter next len get pop"""
)
"""Names of variables, and words of programs, in lower case."""
_NAME: Final = re.compile(r"[&*]?[A-Za-z_]\w*")

_ORDINARY: Final = re.compile(
    r"(?i)[+-]?[\d.,:/ -]+(?:[a-z%µ]{1,5})?|\d{4}-\d\d-\d\d[t ][\d:.,+z-]*|(?:\d+:)?v?\d+(?:\.\w+)+(?:[+~-][\w.+~-]*)?|0x[0-9a-f]{1,16}|[a-z][a-z+.-]*://.*|(?:~|\.{0,2})(?:/[\w.@~+-]+)+/?"
    r"|[a-z_]+\d{0,2}(?:[-_/.:@][a-z_]+\d{0,2}|[-_/.:@]v?\d{1,4})+|\w+\.(?:py|js|ts|go|rs|java|rb|php|json|ya?ml|toml|log|txt|pem|key|crt)(?::\d+){0,2}"
    r"|(?:\d+(?:[num]s|[smhdwkgb]|[kmg]i?b|min|px))+|\W+|[a-z-]+(?:sha|rsa|md|aes|utf|base|ed|hs|rs|es|ps)-?\d+(?:[-_][a-z0-9]+)*|(?:sha|rsa|md|aes|utf|base|ed|hs|rs|es|ps|oauth|pkcs|http)-?\d+.{0,8}"
)
"""Values of letters and digits that are numbers, dates, versions, addresses, or names of several words."""

_PREDICATE: Final = re.compile(
    r"(?i)[ \t]+(?:is|was|are|were|must|should|cannot|can't|could|has|have|had|does|did|not|failed|required|updated|changed|expired|missing|invalid"
    r"|accepted|rejected|mismatch|successfully|too|already)\b"
)
"""Words after the subject of a sentence: `passwd: password updated`."""
_NOUN: Final = re.compile(r"(?i)[ \t]+(?:passwords?|passphrase|tokens?|secrets?|credentials?)\b(?![=:])")
"""Words that a preceding word belongs to: `password: old password …`, `error: bad credentials`."""
_ASSIGNMENT: Final = re.compile(r"[\[({]?[A-Za-z_.-]+=[^=]")


def tells_nothing(key: str, value: str) -> bool:
    """Whether a value is not a secret although it has a secret's name. `key` in any spelling."""
    text = value.strip()
    first, _, second = text.partition(" ")
    if second and _SCHEME.fullmatch(first):
        text = second.strip()
    if text.lower().rstrip(".!:`") in _WORDS or _MASK.fullmatch(text) or _PATH.fullmatch(text) or _ONLY_PLACEHOLDER.fullmatch(text):
        return True
    if _STAND_IN.fullmatch(text) or (key.lower().endswith("token") and _LEXEME.fullmatch(text)):
        return True
    if key.lower().endswith("pwd") and _FOLDER.fullmatch(text):
        return True  # the shell's working directory
    if _SCHEME.fullmatch(_PLACEHOLDER.sub("", text)):
        return True
    return text.count(" ") >= 2 and _SENTENCE.search(text) is not None


def is_placeholder(value: str) -> bool:
    """Whether a value stands for another, or hides one."""
    return _MASK.fullmatch(value) is not None or _SCHEME.fullmatch(_PLACEHOLDER.sub("", value)) is not None


def is_code(key: str, between: str, value: str, rest: str) -> bool:
    """Whether an unquoted value is program text: a comparison, a type, an expression. `rest` is what follows it on its line."""
    if value[:1] in "=<>~" or value.startswith("!="):
        return True
    lower = value.lower()
    if between == ":" and lower in ("read", "write", "delete", "create", "list", "update"):
        return True  # a scope: `token:read`
    if ":" in between and _CLASS.fullmatch(value) and rest.startswith((" |", " =")):
        return True
    if value.isalpha() and _NOUN.match(f" {value}") and rest[1:2].isalpha():
        return True
    if lower == "a" and rest[:1] == " ":
        return True
    if value.isalpha() and (_PREDICATE.match(rest) or _NOUN.match(rest)):
        return True
    if ":" in between and (lower in _TYPES or lower.rstrip("?") in _TYPES or lower.startswith(("varchar(", "char("))):
        return True
    if _is_call(value, rest) or _same_name(key, value):
        return True
    if _DOTTED.fullmatch(value):
        owner = re.split(r"\W+", value.lstrip("&*!"))[0].lower()
        return owner in _OWNER or owner == _last_word(key) or _CLASSES.fullmatch(value) is not None
    if " " in between and _last_word(key).endswith("token") and len(value) < 16 and value.isalpha() and value[0].isupper():
        return True
    return " " in between and _NAME.fullmatch(value) is not None and _is_variable(lower)


def _is_call(value: str, rest: str) -> bool:
    match = _CALL.match(value)
    return match is not None and ({"(": ")", "[": "]"}[match[1]] in value + rest or not rest.strip())


def _same_name(key: str, value: str) -> bool:
    """`token=token`, `token = s.token`, `password=new_password`: the value is a variable of the same name."""
    name, last = _last_word(key), _last_word(value)
    return _NAME.fullmatch(value.lstrip("&*!").replace(".", "").replace("->", "")) is not None and (
        last.rstrip("s") == name.rstrip("s") or name.endswith(f"_{last}") or last.endswith(f"_{name}") or last.startswith(f"{name}_")
    )


def _last_word(dotted: str) -> str:
    return re.split(r"[^\w]+", dotted)[-1].lower().strip("_")


def _is_variable(lower: str) -> bool:
    return lower in _VARIABLES or ("_" in lower.strip("_") and not any(map(str.isdigit, lower)) and kind_of(lower) is not KeyKind.NO)


def looks_random(value: str, least: int = 6) -> bool:
    """Whether a value looks like a secret where its name is doubtful: it is not a word, a number, a date or a path."""
    text = value.strip().rstrip(".:?!")
    if len(text) < least or " " in text or _ORDINARY.fullmatch(text) or _ASSIGNMENT.match(text):
        return False
    lowers, uppers = sum(map(str.islower, text)), sum(map(str.isupper, text))
    if any(map(str.isdigit, text)) or any(letter in "!@#$%^&*+=?~" for letter in text):
        return lowers + uppers > 0
    return len(text) >= 12 and min(lowers, uppers) * 4 >= len(text)


def goes_on(words: str) -> bool:
    """Whether the words behind a password belong to it: none of them is a usual continuation of a sentence or report."""
    return all(word.isdigit() or could_be_password(word, 1) for word in words.split())


def could_be_password(value: str, least: int = 4) -> bool:
    """Whether a word behind "password is" may be one: not a word that says something about passwords."""
    lower = value.lower().rstrip(".,;:!?")
    if len(lower) < least or lower in _WORDS or lower in _ABOUT_PASSWORDS:
        return False
    return looks_random(value, least) or not re.fullmatch(r"[a-z-]+(?:ed|ing|able|ible|ory|al|ly|ent|ant|ive|ous|ful|less|ated)", lower)
