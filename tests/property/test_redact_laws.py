"""Laws of redaction: the search over raw bytes never misses what the exact rules would change; nothing stays below a secret key."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.parse.lines import Parser
from agent.record import LogRecord, Origin
from agent.redact.names import KeyKind, kind_of
from agent.redact.redactor import REDACTED, Redactor
from agent.redact.values import tells_nothing

pytestmark = pytest.mark.property

ORIGIN = Origin("f")
REDACTOR = Redactor()
PARTS = st.sampled_from(
    """password passwd Pass word secret token tokens_count api key API_Key private session id auth cookie dsn credentials jwt Authorization Bearer
    Basic aHVudGVyMjpwdw== abc123def456 eyJhbGciOiJI eyJzdWIiOiIxIn0 AKIAIOSFODNN7EXAMPLE -----BEGIN PRIVATE KEY----- -----END
    ghp_0123456789012345678901234567890123456789 sk_live_0123456789abcdef xoxb-1234567890-abc --password :// postgres user @ host = : , ; " ' & ? /
    curl -u bob:pw mysql -ppw redis-cli -a echo | sudo -S sig signature pass pw is </ < > CDATA name value key identified by
    4111 1111-1111-1111 4242424242424242 AC0123456789abcdef0123456789abcdef bot123456:ABCdefGHIjklMNOpqrSTUvwxYZ0123456789 \x1b[36m \x1b[0m %3D %22
    пароль Passwort contraseña 密码 ： mot de passe &sig= $6$saltsalt$0123456789abcdef0123456789 login PIN 4711
    INSERT INTO users ( name , password ) VALUES ( 'bob' , 'hunter2x' ) [parameters: Key (api_token)=( PDO->__construct(
    mysqli_connect( "AUTH" snmpwalk -c community net use /user:bob vault login psk requirepass verification_code one-time passwd <<< ?code= &state=
    code=abc123def callback grant_type=authorization_code saml_response office.com/webhook/ 4111.1111.1111.1111 credentials: bob/x99y name="password" PASS PLAIN LOGIN mnemonic /reset-password/ value: unseal 1: following openssl -k acl setuser bob >x7Yq rabbitmqctl add_user login( auth=( mc alias set define( | LOGIN bob@x.test bob@x.test: x9Kq7LmZ deploy:x9Kq7LmZ@h:22 created: 5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB69K connect.sid= send "x
    password: | . - _ => \\ \n \t \f \b é ï %3f \ud800 \x00 1 42""".replace("\\n", "\n").split(" ")
)
TEXTS = st.lists(PARTS, max_size=8).flatmap(lambda parts: st.sampled_from(["", " ", "_", "."]).map(lambda glue: glue.join(parts)))
VALUES = st.recursive(TEXTS | st.integers(0, 999) | st.sampled_from([4242424242424242, 378282246310005, 1764399324123456]) | st.booleans(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4)  # fmt: skip


def encodable(text: str) -> str:
    """The text without what UTF-8 can't express."""
    return text.encode("utf-8", "replace").decode()


@settings(max_examples=500)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS, st.booleans(), st.sampled_from(["json", "docker", "plain"]))
def test_the_search_over_raw_bytes_misses_nothing(attributes, event, escape, form):
    """Where the exact rules change a record, the search over the bytes it was read from has reported them."""
    line = json.dumps({**attributes, "event": event}, ensure_ascii=escape) if form != "plain" else encodable(event).replace("\n", " ")
    if form == "docker":
        line = json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-22T10:00:00Z"}, separators=(",", ":"))
    parser, redactor = Parser(), REDACTOR
    records, _ = parser.parse_chunk([(0, line.encode("utf-8", "surrogatepass"))], ORIGIN, 0)
    text = parser.text
    records += parser.flush(0)

    exact = redactor.redact(records)[0]
    assert list(redactor.redact(records, text)[0]) == list(exact)


def shape(value):
    """A value without its keys, texts and numbers: how many there are of each, and of what."""
    if isinstance(value, dict):
        return {number: shape(item) for number, item in enumerate(value.values())}
    return [shape(item) for item in value] if isinstance(value, list) else None


def _names_secret(key):
    """Whether a key names a secret; one that held a secret itself is no longer what it was judged by."""
    return REDACTED not in key and kind_of(key) is KeyKind.SECRET


def texts_below_secret_keys(value, *, secret=False):
    """All texts that stand below a key that names a secret."""
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in texts_below_secret_keys(item, secret=secret or _names_secret(key))]
    if isinstance(value, list):
        return [text for item in value for text in texts_below_secret_keys(item, secret=secret)]
    return [value] if secret and isinstance(value, str) else []


@settings(max_examples=300)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS)
def test_nothing_below_a_secret_key_stays_and_the_structure_does(attributes, event):
    """Every text below such a key is replaced unless it is not a secret, at any depth; no key and no item is lost."""
    ((found,), _) = REDACTOR.redact([LogRecord(0, 0, 0, "", event, attributes, ORIGIN, 0)])

    assert all(text in {REDACTED, ""} or tells_nothing("", text) for text in texts_below_secret_keys(found.attributes))
    assert shape(found.attributes) == shape(attributes)


@given(st.text(max_size=200))
def test_no_text_raises(text):
    """Whatever the text is."""
    assert isinstance(REDACTOR.text(text), str)
