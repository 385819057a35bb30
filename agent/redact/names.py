"""Which keys name a secret.

A key is taken apart at capitals and punctuation (`dbPassword`, `X-Api-Key`, `db.password` → words), so that spelling doesn't matter.
`token_count`, `password_policy` or `secret_name` speak about a secret and are left. `session` is a secret with `id`, `key`, `token`;
`session_duration` is not. Names that also mean something else (`auth`, `sig`, `pass`) are doubtful: their value decides.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

REDACTED: Final = "[REDACTED]"
"""The text that replaces a secret."""
GAP: Final = "[^a-z0-9]*"
_KEYS: Final = (
    "api", "private", "access", "signing", "encryption", "master", "account", "ssh", "storage", "shared", "subscription", "functions",
    "consumer", "license", "app", "application", "service", "deploy", "hmac", "cipher", "aes", "rsa", "gpg", "pgp", "tls", "ssl", "secret",
    "integration", "write", "unseal", "recovery", "decryption", "activation", "instrumentation", "webhook",
)  # fmt: skip
"""Names of a secret key: `api_key`, `storageKey`. Not `primary`, `foreign`, `routing`, `public`."""
_OWNERS: Final = (
    "db", "user", "mysql", "mariadb", "mssql", "oracle", "pg", "postgres", "postgresql", "mongo", "redis", "rabbitmq", "mqtt", "elastic", "influx", "smtp", "imap",
    "mail", "email", "ftp", "sftp", "smb", "ssh", "vnc", "proxy", "http", "basic", "admin", "root", "become", "sudo", "login", "ldap", "bind", "vault", "registry",
    "docker", "git", "ci", "service", "svc", "app", "api", "web", "wifi", "store", "keystore", "truststore",
)  # fmt: skip
"""Whose `pass` is a password: `db_pass`."""
WORDS: Final = (
    "passwort", "kennwort", "contrasena", "contraseña", "contrasenya", "mot_de_passe", "mots_de_passe", "motdepasse", "mdp", "senha", "palavra_passe",
    "wachtwoord", "lösenord", "losenord", "passord", "adgangskode", "salasana", "haslo", "hasło", "heslo", "jelszo", "jelszó", "parola",
    "parolă", "lozinka", "geslo", "şifre", "sifre", "mat_khau", "mật_khẩu", "kata_sandi", "slaptažodis", "parool",
)  # fmt: skip
"""`password` in languages that put spaces between words."""
ANYWHERE: Final = (
    "парол", "密码", "密碼", "口令", "パスワード", "暗証番号", "비밀번호", "암호", "סיסמה", "סיסמא", "كلمة_المرور", "كلمة_السر", "पासवर्ड",
    "รหัสผ่าน", "κωδικ",
)  # fmt: skip
"""The same where words are inflected, or run together."""
FOREIGN: Final = (*WORDS, *ANYWHERE)

CODES: Final = "(?:verification|security|one[^a-z0-9]?time|2fa|mfa|sms|authentication)"
"""The purpose of a one-time code."""
NAMES: Final = (
    "passw", "passphrase", "passcode", "pwd", "pswd", "secret", "token", "authoriz", "cookie", "credential", "creds", "dsn", "jwt", "auth",
    "session", "sessid", "mnemonic", "otp", "psk", "requirepass", f"code{GAP}verifier", f"saml{GAP}response", f"{CODES}{GAP}code", f"seed{GAP}phrase", f"recovery{GAP}(?:code|phrase)", "cvv", "cvc", "storepass", "keypass",
    f"x{GAP}(?:amz|goog){GAP}signature", f"connect{GAP}sid", f"(?:{'|'.join(_KEYS)}){GAP}key", f"(?:{'|'.join(_OWNERS)}){GAP}pass",
)  # fmt: skip
"""No key that names a secret in Latin letters is without one of these, however it is spelled."""
DOUBTFUL: Final = ("sig", "signature", "hmac", "pass", "pw", "clave", "bearer")
"""No doubtful key is without one of these or of `NAMES`."""


class KeyKind(IntEnum):
    """Whether a key names a secret."""

    NO = 0
    DOUBTFUL = 1
    """Only a value that looks like one is a secret."""
    SECRET = 2


_SENSITIVE: Final = re.compile(
    r"(?:^|_)(?:[a-z0-9]*passw(?:or)?ds?[0-9]*|[a-z0-9]*passphrase|[a-z0-9]*passcode|[a-z]*pwd|pswd|[a-z0-9]*secrets?|[a-z0-9]*tokens?"
    r"|(?:proxy_?)?authorization|cookies?|[a-z0-9]*credentials?|creds|jwt|dsn|(?:store|key)pass|cvv2?|cvc2?|mnemonic|(?:seed|recovery)_?phrase|t?otp(?:_code)?"
    rf"|(?:wpa_?)?psk|requirepass|masterauth|code_verifier|saml_?response|(?:verification|security|one_?time|2fa|mfa|sms|authentication)_?code|recovery_?codes?|x_(?:amz|goog)_signature|[a-z]*sess(?:ion)?_?id|(?:x_?)?(?:auth|{'|'.join(_KEYS)})_?keys?"
    rf"|[a-z0-9]*(?:apikey|privatekey)|session_?(?:key|token|cookie)|connect_sid|(?:{'|'.join(_OWNERS)})_?pass|{'|'.join(WORDS)})(?:_|$)"
    rf"|{'|'.join(ANYWHERE)}"
)
_MAYBE_SENSITIVE: Final = re.compile(r"(?:^|_)(?:auth|sig|signature(?:_256)?|hmac|pass|pw|clave|bearer)$|^session$")
_ABOUT: Final = re.compile(
    r"_(?:counts?|limits?|len|length|size|usage|used|total|type|ttl|expir(?:y|es|ed|ation)(?:_(?:at|in|date))?|age|polic(?:y|ies)|name|rate"
    r"|budget|remaining|required|enabled|disabled|valid|invalid|per_second|version|ur[il]|endpoint|path|file|dir|directory|method|mode|scheme"
    r"|provider|backend|driver|format|alg|algorithm|manager|hashers?|resets?|(?:changed|created|updated|issued|rotated)(?:_(?:at|on))?|at"
    r"|field|label|prompt|strength|errors?|status|state|result|failures?|attempts?|retries|ref|source|service|interval|timeout|issuer"
    r"|audience|hint|exists|scopes?|prefix|suffix|validators?|index|position|arn|balance|domain|samesite|secure|httponly|namespace|release|app|exceptions?|min|max|minimum|maximum|rules?|requirements?|history|lifetime|duration"
    r"|rotation|identity|time|days|rounds|iterations)$"
)
_DESCRIBES: Final = frozenset(("name", "version", "type", "kind", "namespace", "ttl", "expires_in", "expires_at", "created_at"))
"""Keys of an object that describe its secret: `{"secret": {"name": …, "version": …}}`."""
_STATEMENT: Final = re.compile(r"[=?&]")
"""In a key that is an address or a condition a name names what stands within."""
_COUNTABLE: Final = re.compile(r"(?:^|_)(?:tokens|keys|passwords|secrets|cookies)(?:_|$)")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OPTION: Final = re.compile(r"--?([A-Za-z][\w.-]*)", re.ASCII)
_HEADER: Final = re.compile(r"(?i)(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*(?:key|token|secret|signature)")
_CREDENTIALS: Final = re.compile(r"(?i)[a-z]\w*[ \t]+\S.*|[^\s=]+=.*|(?=.*\d)[\w.~+/]{8,}=*|[0-9a-f-]{32,36}")
_PUNCTUATION: Final = re.compile(r"[\W_]+")


def normal(key: str) -> str:
    """The words of a key in lower case, joined by `_`."""
    return _PUNCTUATION.sub("_", _CAMEL.sub("_", key)).strip("_").lower()


def kind_of(key: str) -> KeyKind:
    """Whether what stands under this key is a secret."""
    words = normal(key)
    if _STATEMENT.search(key) or _ABOUT.search(words):
        return KeyKind.NO
    if _SENSITIVE.search(words):
        return KeyKind.SECRET
    return KeyKind.DOUBTFUL if _MAYBE_SENSITIVE.search(words) else KeyKind.NO


def option_name(argument: str) -> str:
    """The name of an option whose argument comes next on the command line; empty where none does, as for `--name=…`."""
    match = _OPTION.fullmatch(argument)
    return match[1] if match else ""


def describes(key: str, name: str) -> bool:
    """Whether an entry below a secret's key says something about the secret; not of several, whose names may be anything."""
    return normal(name) in _DESCRIBES and not key.endswith(("s", "S"))


def is_credential_header(name: str, value: str) -> bool:
    """Whether two items of a list are a header with credentials and its value, as Node.js has them in `rawHeaders`."""
    return _HEADER.fullmatch(name) is not None and _CREDENTIALS.fullmatch(value) is not None


def names_number(key: str) -> bool:
    """Whether a number under this key counts something: `tokens` of a language model."""
    return _COUNTABLE.search(normal(key)) is not None
