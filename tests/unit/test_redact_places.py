"""Secrets that are named by their place: columns of SQL, lines below a name, arguments of functions, items of a list, a card's number."""

from __future__ import annotations

import time

import pytest

from agent.record import LogRecord, Origin
from agent.redact import below, statements
from agent.redact.redactor import REDACTED, Redactor


def clean(text: str) -> str:
    """A text after the default redaction."""
    return Redactor().text(text)


def attributes(**given):
    """Attributes after the default redaction."""
    return Redactor().redact([LogRecord(0, 0, 0, "", None, given, Origin("f"), 0)])[0][0].attributes


def spans(text: str) -> list[str]:
    """The values that stand under a column `secret`."""
    return [text[start:end] for start, end in statements.secrets(text, lambda column, _: column == "secret")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("INSERT INTO t (a, secret) VALUES (1, 'x')", ["x"]),
        ("insert into s.t(secret,a)values('x',now())", ["x"]),
        ('REPLACE INTO `t` (`a`, `secret`) VALUES (f(1, 2), "x")', ["x"]),
        ("INSERT INTO t (a, secret) VALUES ('it''s', 'x'), ('(', 'y,z')", ["x", "y,z"]),
        ("INSERT INTO t (a, secret)\nVALUES\n  (1, 'x'),\n  (2, 'y')", ["x", "y"]),
        ("WHEN NOT MATCHED THEN INSERT (a, secret) VALUES (1, 'x')", ["x"]),
        ("INSERT INTO t (a, secret) VALUES (?, ?)\n[parameters: (1, 'x')]", ["?", "x"]),
        ("INSERT INTO t (a, b, secret) VALUES (%s, now(), %s) [parameters: [(1, 'x'), (2, 'y')]]", ["%s", "x", "y"]),
        ("INSERT INTO t (a, secret) VALUES (1, 'x'); args=(1, 'x'); alias=default", ["x", "x"]),
        ("Key (a, secret)=(7, x) already exists.", ["x"]),
        ("INSERT INTO t (a, secret) VALUES (1, 'cut he", ["cut he"]),
        ("INSERT INTO t (a, b) VALUES (1, 'x')", []),
        ("INSERT INTO t VALUES (1, 'x')", []),
        ("INSERT INTO t (a, secret) SELECT a, b FROM u", []),
    ],
)
def test_a_value_belongs_to_the_column_at_its_place(text, found):
    """Quoted brackets and commas do not count, each row does, and a driver's parameters stand for the placeholders."""
    assert spans(text) == found


def test_a_statement_with_placeholders_stays():
    """Placeholders, calls and harmless columns are not secrets."""
    text = "INSERT INTO users (name, password, token_count) VALUES ('bob', crypt(:pw, gen_salt('bf')), 12)"
    assert clean(text) == text


def test_a_block_ends_where_the_lines_are_no_longer_deeper():
    """All lines of the block go, also after a blank one; what follows stays."""
    text = "a:\n  - password: |-\n      one\n\n      two\n    user: bob\nb: 1"
    assert below.without_blocks(text, lambda key: key == "password", "X") == ("a:\n  - password: |-\n      X\n    user: bob\nb: 1", 1)


@pytest.mark.parametrize(
    "text",
    [
        'Content-Disposition: form-data; name="password"\r\n\r\n{}\r\n--b',
        'body=Content-Disposition: form-data; name="api_key"\\r\\nContent-Type: text/plain\\r\\n\\r\\n{}\\r\\n--b',
        "<db>\n  <password>\n    {}\n  </password>\n</db>",
        'array(1) {{\n  ["password"]=>\n  string(8) "{}"\n}}',
        "1 validation error for Login\npassword\n  Value error [type=value_error, input_value='{}', input_type=str]",
        '  Property: app.token\n    Value: "{}"\n    Reason: too short',
    ],
)
def test_a_value_below_its_name_goes(text):
    """Where a format says that the next line holds the value."""
    assert clean(text.format("fakepw77")) == text.format(REDACTED)


def test_program_text_below_a_name_stays():
    """A key alone at the end of a line has no value on that line."""
    text = "password:\n  min_length: 12\npassword = (\n    first\n)"
    assert clean(text) == text


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"card_number": 4242424242424242}, {"card_number": REDACTED}),
        ({"card": {"number": 378282246310005}}, {"card": {"number": REDACTED}}),
        ({"number": 4242424242424242, "exp_month": 1}, {"number": REDACTED, "exp_month": 1}),
        ({"order_id": 4242424242424242}, {"order_id": 4242424242424242}),
        ({"order_id": "4242424242424242"}, {"order_id": "4242424242424242"}),
        ({"pan": "4242.4242.4242.4242"}, {"pan": REDACTED}),
        ({"time_ns": 1764399324123456789}, {"time_ns": 1764399324123456789}),
    ],
)
def test_a_cards_number_is_known_by_what_stands_over_it(given, left):
    """Also as a number; under the name of an identifier it is one."""
    assert attributes(**given) == left


def test_items_of_a_list_may_be_headers_and_their_values():
    """As Node.js has them in `rawHeaders`; a list of names stays."""
    found = attributes(
        raw=["Host", "x", "Authorization", "Bearer t0k", "Cookie", "sid=1f2e"], allowed=["Authorization", "Cookie", "Accept"]
    )
    assert found == {"raw": ["Host", "x", "Authorization", REDACTED, "Cookie", REDACTED], "allowed": ["Authorization", "Cookie", "Accept"]}


def test_what_an_object_says_about_its_secret_stays():
    """`name` and `version` of one secret; below the name of several each key may be a secret's."""
    assert attributes(secret={"name": "db", "version": 4, "value": "x"}, cookies={"name": "x"}) == {
        "secret": {"name": "db", "version": 4, "value": REDACTED},
        "cookies": {"name": REDACTED},
    }


@pytest.mark.parametrize(
    "text",
    [
        "insert " * 9000 + "(",
        "INSERT INTO t (secret) VALUES (" + "a'x'" * 9000 + "(",
        "insert into t (secret) values (1) " * 1900,
        "[" * 60000,
    ],
)
def test_statements_that_never_end_take_no_longer(text):
    """The search is linear: within its time it is done with the longest body."""
    start = time.process_time()
    spans(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("--> PASS 4bc9xyz", "4bc9xyz"),
        ("AUTH PLAIN AGZha2UAZmFrZTEyMw==", "AGZha2UAZmFrZTEyMw=="),
        ("Unseal Key 3: ZmFrZWZha2VmYWtl01", "ZmFrZWZha2VmYWtl01"),
        ("use the following password to go on: 4bc9xyz0", "4bc9xyz0"),
        ("- name: API_SECRET\n  value: 4bc9xyz", "4bc9xyz"),
        ("GET /reset-password/4bc9xyz0-4bc9xyz1 200", "4bc9xyz0-4bc9xyz1"),
        ('db_password: "4bc9" => "4bc9xyz"', "4bc9xyz"),
    ],
)
def test_protocols_and_programs_have_their_own_ways_to_name_a_secret(text, secret):
    """The secret goes, also where no equals sign leads to it."""
    assert secret not in clean(text)


@pytest.mark.parametrize(
    "text",
    [
        "PASS tests/login.test.js",
        "250-AUTH PLAIN LOGIN",
        "status unpacked passwd:amd64 1:4.13+dfsg1-1",
        "on arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
        "token: IDENTIFIER line: 4",
        "scope token:read",
        "cookies: CookieJar | None = None",
        "session_id=42 token_id=7",
        "GET /verify-email/thank-you 200",
    ],
)
def test_names_of_things_are_no_secrets(text):
    """A package, a resource, a parser's word, a scope, a class, a small number."""
    assert clean(text) == text
