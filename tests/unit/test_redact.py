"""The redacted values, the rest of a record, and that none of 200 planted secrets gets into the stored bytes."""

from __future__ import annotations

import base64
import json
import random
import string

import pytest
from pydantic import ValidationError

from agent.encode.otlp_logs import LogEncoder
from agent.parse.lines import Parser
from agent.record import LogRecord, Origin
from agent.redact.names import kind_of
from agent.redact.redactor import REDACTED, RedactConfig, Redactor

ORIGIN = Origin("f")


def record(body=None, **attributes) -> LogRecord:
    """A record with a body and attributes."""
    return LogRecord(0, 0, 0, "", body, attributes, ORIGIN, 0)


def redacted(body=None, **attributes) -> LogRecord:
    """The same after the default redaction."""
    return Redactor().redact([record(body, **attributes)])[0][0]


# --- names -------------------------------------------------------------------------------------------------------------

SECRET_NAMES = [
    "password",
    "passwd",
    "dbPassword",
    "DB_PASSWORD",
    "user.password",
    "passphrase",
    "pwd",
    "db_pass",
    "secret",
    "client_secret",
    "clientSecret",
    "SECRET_KEY",
    "token",
    "accessToken",
    "refresh-token",
    "csrf_token",
    "id_token",
    "api_key",
    "apikey",
    "X-Api-Key",
    "x-api-key",
    "private_key",
    "privateKey",
    "aws_secret_access_key",
    "access_key_id",
    "AccountKey",
    "signing_key",
    "authorization",
    "Authorization",
    "proxy-authorization",
    "auth",
    "cookie",
    "cookies",
    "Set-Cookie",
    "session",
    "session_id",
    "sessionId",
    "sessionid",
    "session_token",
    "credentials",
    "awsCredentials",
    "dsn",
    "sentry_dsn",
    "jwt",
    "creds",
    "ssh_key",
]
HARMLESS_NAMES = [
    "token_count",
    "tokenCount",
    "max_token_limit",
    "tokenizer",
    "tokenized",
    "token_type",
    "token_expires_at",
    "secretary",
    "secret_name",
    "password_policy",
    "password_length",
    "session_duration",
    "trading_session",
    "author",
    "authority",
    "oauth_provider",
    "monkey",
    "key",
    "keyboard",
    "primary_key",
    "foreign_key",
    "pass",
    "passed",
    "compass",
    "bypass",
    "cookie_count",
    "cookiecutter",
    "description",
    "design",
    "assign",
    "dsnx",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_key_that_names_a_secret_is_known_in_any_spelling(name):
    """The value under it is replaced."""
    assert kind_of(name)
    assert redacted(**{name: "hunter2"}).attributes == {name: REDACTED}


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_key_that_only_sounds_so_is_left(name):
    """Its value stays, and the record is the very same object."""
    kept = record(**{name: "value"})

    assert Redactor().redact([kept])[0][0] is kept


def test_booleans_nulls_and_counts_of_tokens_stay():
    """They tell no secret: `has_password: true`, `token: null`, `prompt_tokens: 12`."""
    harmless = {"has_password": True, "token": None, "secret": "", "prompt_tokens": 12, "tokens": 3.5, "usage": {"completion_tokens": 9}}

    assert redacted(**harmless).attributes == harmless


def test_a_number_under_a_secret_name_goes():
    """A PIN is a number, too."""
    assert redacted(password=1234).attributes == {"password": REDACTED}


def test_structure_below_a_secret_key_stays():
    """Keys and lists remain, each leaf is replaced."""
    found = redacted(credentials={"user": "bob", "keys": ["a", 7, None]}).attributes

    assert found == {"credentials": {"user": REDACTED, "keys": [REDACTED, REDACTED, None]}}


def test_secrets_are_found_at_any_depth():
    """In dictionaries in lists in dictionaries, by key and by shape."""
    found = redacted(
        request={"headers": [{"Authorization": "Bearer abcdef123456"}, {"Accept": "x"}], "url": "redis://:s3cret@h/0"}
    ).attributes

    assert found == {"request": {"headers": [{"Authorization": REDACTED}, {"Accept": "x"}], "url": "redis://:[REDACTED]@h/0"}}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "--password", "hunter2", "-v"], ["run", "--password", REDACTED, "-v"]),
        (["run", "-token", "hunter2"], ["run", "-token", REDACTED]),
        (["--api-key", 12345], ["--api-key", REDACTED]),
        (["--password=hunter2", "file"], ["--password=[REDACTED]", "file"]),
        (["--password", "--url=redis://:hunter2@h"], ["--password", "--url=redis://:[REDACTED]@h"]),
        (["--password", "hunter2", "hunter3"], ["--password", REDACTED, "hunter3"]),
        ([["--password", "hunter2"]], [["--password", REDACTED]]),
    ],
)
def test_the_argument_of_a_secret_option_is_replaced_in_a_list(argv, expected):
    """A command line is often logged as the list that it is."""
    assert redacted(argv=argv).attributes == {"argv": expected}


@pytest.mark.parametrize(
    "argv",
    [["--max-tokens", "512"], ["--max-tokens", 512], ["- password changed", "bob"], ["password", "bob"], ["--password"], ["-p", "80"]],
)
def test_what_only_looks_like_the_argument_of_a_secret_option_is_left(argv):
    """Numbers that count, sentences, and what stands behind no option."""
    assert redacted(argv=argv).attributes == {"argv": argv}


# --- texts -------------------------------------------------------------------------------------------------------------

TEXTS = {
    "login password=hunter2 ok": "login password=[REDACTED] ok",
    'body {"password": "hun ter2", "a": 1}': 'body {"password": "[REDACTED]", "a": 1}',
    'body {\\"api_key\\": \\"hunter2\\", \\"a\\": 1}': 'body {\\"api_key\\": \\"[REDACTED]\\", \\"a\\": 1}',
    "{'token': 'hunter2', 'a': 1}": "{'token': '[REDACTED]', 'a': 1}",
    "GET /x?token=hunter2&page=2 200": "GET /x?token=[REDACTED]&page=2 200",
    "Authorization: Basic aHVudGVyMjpwdw==": "Authorization: [REDACTED]",
    "sent header Bearer abc123def456ghi now": "sent header Bearer [REDACTED] now",
    "Cookie: sid=hunter2; theme=dark\nHost: a": "Cookie: [REDACTED]\nHost: a",
    "connect postgres://bob:hun@ter2@db:5432/x?y=1": "connect postgres://bob:[REDACTED]@db:5432/x?y=1",
    "amqp://guest:hunter2@mq": "amqp://guest:[REDACTED]@mq",
    "https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/2": "https://[REDACTED]@o1.ingest.sentry.io/2",
    "run --password hunter2 --verbose": "run --password [REDACTED] --verbose",
    "Popen(['run', '--password', 'hun ter2', '-v'])": "Popen(['run', '--password', '[REDACTED]', '-v'])",
    'argv ["--api-key","hun\\"ter2"]': 'argv ["--api-key","[REDACTED]"]',
    'argv [\\"--api-key\\", \\"hunter2\\"]': 'argv [\\"--api-key\\", \\"[REDACTED]\\"]',
    "key -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end": "key [REDACTED] end",
    "cut -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANB": "cut [REDACTED]",
    "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.": "jwt [REDACTED].",
    "aws AKIAIOSFODNN7EXAMPLE.": "aws [REDACTED].",
}
HARMLESS_TEXTS = (
    "Bearer authentication is required",
    "Basic information about the order",
    "see https://example.com:8080/@user/post and mail bob@example.com",
    "postgres://bob@db/orders",
    "tokens: 512, max_tokens=1024, token_count=7",
    "the secretary has the keys",
    "sk-learn 1.5 loaded; task-1234567890",
    "AKIA is a prefix",
    "author: somebody, session ended",
    "['--password', '--verbose']",
)


@pytest.mark.parametrize(("text", "expected"), TEXTS.items(), ids=range(len(TEXTS)))
def test_secrets_in_running_text_are_replaced(text, expected):
    """Only the secret goes; what stands around it stays readable. A second pass changes nothing."""
    redactor = Redactor()

    assert redactor.text(text) == expected
    assert redactor.text(expected) == expected


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_ordinary_text_is_left(text):
    """No word is lost because it sounds like a secret."""
    assert Redactor().text(text) == text


def test_what_was_taken_out_is_counted_by_rule():
    """Each replaced value counts once."""
    _, counts = Redactor().redact([record("password=a1b2", token="x", nested={"secret": ["y", "z"]}), record("AKIAIOSFODNN7EXAMPLE")])

    assert counts == {"key": 3, "key_in_text": 1, "aws_key": 1}


def test_records_without_secrets_are_passed_on_as_they_are():
    """The sequence itself is returned when the search over the raw text finds nothing."""
    records = [record("all is well", a=1)]

    assert Redactor().redact(records, b'{"event":"all is well","a":1}') == (records, {})
    assert Redactor().redact(records, b'{"event":"all is well","a":1}')[0] is records


def test_letters_written_as_escapes_are_found():
    r"""`p\u0061ssword` is a password."""
    line = b'{"event":"x","p\\u0061ssword":"hunter2"}'
    parser = Parser()
    records, _ = parser.parse_chunk([(0, line)], ORIGIN, 0)

    assert Redactor().redact(records, parser.text)[0][0].attributes == {"password": REDACTED}


TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/pay.py", line 12, in pay
    if amount > secret_balance:
       ^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/bank.py", line 3, in check
    token = raw; connect(password="fake-hunter2")
RuntimeError: password=fake-hunter2 refused"""


def test_source_lines_of_a_traceback_keep_all_but_literals():
    """Program text names secrets and holds none, except where one is written into it."""
    assert Redactor().text(TRACEBACK) == TRACEBACK.replace("fake-hunter2", REDACTED)


def test_secrets_in_keys_go_and_no_two_keys_become_one():
    """A token as a key is a secret, too; its value stays."""
    first, second = (f"{'gh'}p_{digit * 36}" for digit in "01")
    found = redacted(seen={first: 1, second: 2, "GET /?password=fake-pw&a=1": 3}).attributes

    assert found == {"seen": {REDACTED: 1, f"{REDACTED} 1": 2, f"GET /?password={REDACTED}&a=1": 3}}


def test_the_value_of_a_named_entry_is_judged_by_its_name():
    """Lists of environment variables are written as names and values."""
    found = redacted(env=[{"name": "DB_PASSWORD", "value": "fake"}, {"Key": "HOME", "Value": "/root"}]).attributes

    assert found == {"env": [{"name": "DB_PASSWORD", "value": REDACTED}, {"Key": "HOME", "Value": "/root"}]}


def test_no_pattern_crosses_the_end_of_a_line():
    """Text on the next line is not the value of a name on this one."""
    text = "secret:\nnext password =\nother --token\nthird the password is\nfourth Cookie:\nfifth"

    assert Redactor().text(text) == text


# --- configuration -----------------------------------------------------------------------------------------------------


def test_switched_off_nothing_is_changed():
    """`enabled: false` means that."""
    records = [record("password=x", token="y")]

    assert Redactor(RedactConfig(enabled=False)).redact(records) == (records, {})
    assert Redactor(RedactConfig(enabled=False)).text("password=x") == "password=x"


def test_further_keys_are_meant_in_any_spelling():
    """`pin_code` also means `pinCode`, in attributes and as far as the search over raw text goes."""
    redactor = Redactor(RedactConfig(keys=("pin_code",)))

    assert redactor.redact([record(pinCode="1")], b'{"pinCode":"1"}')[0][0].attributes == {"pinCode": REDACTED}


def test_allowed_keys_keep_their_values_but_not_secrets_in_them():
    """`allow` is about the name only."""
    redactor = Redactor(RedactConfig(allow=("session_id",)))

    assert redactor.redact([record(sessionId="abc")])[0][0].attributes == {"sessionId": "abc"}
    assert redactor.redact([record(session_id="AKIAIOSFODNN7EXAMPLE")])[0][0].attributes == {"session_id": REDACTED}


def test_further_patterns_replace_their_group_or_all():
    """With a pattern of the user's every record is looked at, whatever the raw text is."""
    redactor = Redactor(RedactConfig(patterns=(r"card (\d+)", r"^only$")))
    records, counts = redactor.redact([record("card 4111"), record("only"), record("not only")], b"")

    assert [one.body for one in records] == ["card [REDACTED]", REDACTED, "not only"]
    assert counts == {"custom": 2}


def test_a_pattern_that_is_none_is_refused_with_its_reason():
    """A wrong pattern is an error of the configuration."""
    with pytest.raises(ValidationError, match="is not a regular expression"):
        RedactConfig(patterns=("(",))


# --- the corpus: 200 secrets, each in every format -----------------------------------------------------------------------

ALNUM = string.ascii_letters + string.digits
chance = random.Random(20261122)


def letters(count: int, alphabet: str = ALNUM) -> str:
    """Random letters, with a digit among them."""
    return "".join(chance.choices(alphabet, k=count - 1)) + "7"


def encoded(count: int) -> str:
    """URL-safe base64 of random bytes."""
    return base64.urlsafe_b64encode(chance.randbytes(count)).decode().rstrip("=")


KINDS = {
    "password": lambda: (s := letters(12), f"password={s}"),
    "passwd": lambda: (s := letters(9), f"user_passwd: {s}"),
    "secret": lambda: (s := letters(20), f"client_secret={s}"),
    "api key": lambda: (s := letters(24), f"X-Api-Key: {s}"),
    "token": lambda: (s := letters(30), f"accessToken={s}"),
    "cookie": lambda: (s := letters(16), f"Cookie: sid={s}"),
    "basic": lambda: (s := base64.b64encode(f"bob:{letters(9)}".encode()).decode(), f"Authorization: Basic {s}"),
    "bearer": lambda: (s := letters(40), f"using Bearer {s} now"),
    "jwt": lambda: (s := f"eyJhbGciOiJI{encoded(9)}.eyJ{encoded(20)}.{encoded(32)}", f"got {s} back"),
    "aws id": lambda: (s := "AKIA" + letters(16, string.ascii_uppercase), f"key {s} used"),
    "aws secret": lambda: (s := letters(40), f"aws_secret_access_key={s}"),
    "url": lambda: (s := letters(10), f"connecting to postgres://bob:{s}@db:5432/orders"),
    "sentry dsn": lambda: (s := f"{chance.getrandbits(128):032x}", f"to https://{s}@o1.ingest.sentry.io/42"),
    "github": lambda: (s := f"ghp_{letters(36)}", f"clone with {s} failed"),
    "slack": lambda: (s := f"xoxb-{chance.randrange(10**11)}-{letters(24)}", f"posting as {s} failed"),
    "stripe": lambda: (s := f"sk_live_{letters(24)}", f"charge by {s} failed"),
    "google": lambda: (s := f"AIza{letters(35)}", f"map {s} loaded"),
    "query": lambda: (s := letters(22), f"GET /cb?code=1&api_key={s}&x=2 200"),
    "option": lambda: (s := letters(14), f"exec tool --db-password {s} --fast"),
    "private key": lambda: (s := encoded(48), f"-----BEGIN EC PRIVATE KEY-----\n{s}\n-----END EC PRIVATE KEY-----"),
}
CORPUS = [(kind, *make()) for kind, make in KINDS.items() for _ in range(10)]


def wrapped(text: str, stream: str = "stderr") -> str:
    """A line of the Docker format."""
    return json.dumps({"log": text, "stream": stream, "time": "2026-11-22T10:00:00.1Z"}, separators=(",", ":"))


def cri(text: str) -> str:
    """Lines of a Kubernetes runtime's, each cut in two pieces."""
    time, half = "2026-11-22T10:00:00.1Z stdout", len(text) // 2
    return f"{time} P {text[:half]}\n{time} F {text[half:]}"


FORMATS = {
    "json body": lambda text: json.dumps({"event": text, "level": "info", "timestamp": "2026-11-22T10:00:00Z"}),
    "json attribute": lambda text: json.dumps({"event": "e", "level": "info", "timestamp": "2026-11-22T10:00:00Z", "detail": text}),
    "json nested": lambda text: json.dumps({"event": "e", "level": "info", "context": [{"a": {"b": text}}]}),
    "json in json": lambda text: json.dumps({"event": json.dumps({"inner": json.dumps({"detail": text})}), "level": "info"}),
    "json, all escaped": lambda text: '{"event":"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '","level":"info"}',
    "logfmt": lambda text: f"level=info msg={json.dumps(text)} n=1",
    "python text": lambda text: f"2026-11-22 10:00:00,123 - app - INFO - {text}",
    "timed": lambda text: f"2026-11-22 10:00:00 {text}",
    "syslog": lambda text: f"<13>Nov 22 10:00:00 host app[1]: {text}".replace("\n", "\\n"),
    "plain": lambda text: text,
    "docker": lambda text: "\n".join(wrapped(line + "\n") for line in text.split("\n")),
    "docker json": lambda text: wrapped(json.dumps({"event": text, "level": "info"}) + "\n"),
    "docker pieces": lambda text: "\n".join(
        wrapped(piece) for piece in (json.dumps({"event": text})[:30], json.dumps({"event": text})[30:] + "\n")
    ),
    "cri pieces": lambda text: "\n".join(cri(line) for line in text.split("\n")),
    "exception": lambda text: "\n".join(
        ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    f()", "ValueError: " + text.replace("\n", "\\n")]
    ),
}


def test_the_corpus_has_200_secrets():
    """The figure of the scorecard."""
    assert len({secret for _, secret, _ in CORPUS}) == 200


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("chunk", [1, 1000], ids=["line by line", "at once"])
def test_no_planted_secret_is_in_the_stored_bytes(name, chunk):
    """Each of the 200, in every format: the bytes that go to the spool hold none of them, nor half of one."""
    redactor, encoder = Redactor(), LogEncoder({})
    for kind, secret, text in CORPUS:
        lines = [(number, line.encode()) for number, line in enumerate(FORMATS[name](text).split("\n"))]
        parser, stored = Parser(), b""
        for start in range(0, len(lines), chunk):
            records, _ = parser.parse_chunk(lines[start : start + chunk], ORIGIN, 0)
            stored += encoder.encode(redactor.redact(records, parser.text)[0])
        stored += encoder.encode(redactor.redact(parser.flush(0))[0])
        assert REDACTED.encode() in stored, (kind, stored)
        assert secret[-8:].encode() not in stored, (kind, stored)
        assert secret[:12].encode() not in stored or kind in ("jwt", "aws id"), (kind, stored)
