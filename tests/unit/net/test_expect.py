from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from agent.net.addresses import bracketed, host_allowed, is_loopback, probe_objection
from agent.net.dial import permitted
from agent.net.errors import NetworkError
from agent.net.expect import StatusClass, check_expiry, check_headers, check_json, check_status, check_text, dig
from agent.net.headers import Headers
from agent.net.resolver import Resolver
from agent.options import OptionError
from agent.parse.patterns import compile_pattern

NOW_NS = 1_700_000_000_000_000_000
BODY = '{"status": "ok", "ready": true, "count": 1, "checks": [{"at": "2023-11-14T22:13:00Z"}], "unix": 1699999990, "null": null}'


@pytest.mark.parametrize(
    ("status", "accepted", "met"),
    [(200, ["2xx"], True), (204, ["204"], True), (301, ["2xx"], False), (503, ["2xx", "503"], True), (404, ["200", "204"], False)],
)
def test_statuses_and_their_classes(status, accepted, met):
    """A status is accepted by its number or by its class."""
    failure = check_status(status, accepted)
    assert (failure is None) is met
    assert failure is None or str(status) in failure.reason


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("/health/", "/health/"),
        ("https://login.example/start?next=%2Fhealth&code=s3cr3t#top", "https://login.example/start?…"),
        ("https://user:s3cr3t@h/a", "https://**********@h/a"),
        ("/\xd0\xba", "/к"),
        ("/a\r\nb", "/a  b"),
        ("/login;jsessionid=0A1B2C?x=1", "/login;…?…"),
        ("/app;v=1/login;jsessionid=0A1B2C", "/app;…/login;…"),
        ("//other.test/start", "//other.test/start"),
        ("/callback#access_token=0A1B2C?", "/callback"),
        ("../up?next=/", "../up?…"),
        ("/caf\xe9", "/café"),
        ("/" + "x" * 5000, "/" + "x" * 199 + "…"),
    ],
)
def test_where_a_redirect_leads_to(location, said):
    """A redirect that is not expected names its aim, without what may be secret in it; other answers have none."""
    assert check_status(308, ["2xx"], location).reason == f"answered 308 (redirected to {said}), expected 2xx"
    assert check_status(201, ["200"], location).reason == "answered 201, expected 200"
    assert check_status(302, ["2xx"]).reason == "answered 302, expected 2xx"


@pytest.mark.parametrize("text", ["2xx", "204", "5XX"])
def test_written_statuses(text):
    """Numbers and classes may be configured."""
    assert TypeAdapter(StatusClass).validate_python(text) == text.lower()


def test_a_status_may_be_a_number():
    """A status is written as a number without quotes as well; of a number that is not one the fault is the same as of a text."""
    assert TypeAdapter(StatusClass).validate_python(204) == "204"
    with pytest.raises(ValidationError, match="'2040' is not an HTTP status"):
        TypeAdapter(StatusClass).validate_python(2040)


@pytest.mark.parametrize("text", ["", "xx", "600", "20", "2x4", "2000", "٢٠٠"])
def test_what_is_no_status(text):
    """Anything else is refused at the start, not found out by a probe that always fails."""
    with pytest.raises(ValidationError):
        TypeAdapter(StatusClass).validate_python(text)


@pytest.mark.parametrize(
    ("present", "absent", "met"),
    [
        (None, None, True),
        ("all .*well", None, True),
        ("bad", None, False),
        (None, "bad", True),
        (None, "w.ll", False),
        ("well", "all", False),
    ],
)
def test_patterns_of_a_body(present, absent, met):
    """One pattern must be found and the other must not; a failure shows that a pattern decided it."""
    failure = check_text("the body", "all is well", present, absent)
    assert (failure is None) is met
    assert failure is None or failure.by_pattern


def test_patterns_of_headers():
    """Each header must be there and match, by a name in any case; repeated headers may match in any of them."""
    headers = [("content-type", "application/json"), ("via", "a"), ("via", "b")]
    assert check_headers(headers, {"Content-Type": "json$", "Via": "^b$"}) is None
    assert check_headers(headers, {"via": "c"}).reason == "the header via does not match 'c'"
    assert check_headers(headers, {"x-none": "."}).reason == "there is no header x-none"


@pytest.mark.parametrize(
    ("equal", "reason"),
    [
        ({"status": "ok", "ready": True, "count": 1, "null": None}, None),
        ({"status": "down"}, 'status is "ok", expected "down"'),
        ({"count": True}, "count is 1, expected true"),
        ({"ready": 1}, "ready is true, expected 1"),
        ({"checks.0.at": "2023-11-14T22:13:00Z"}, None),
        ({"checks.1.at": "x"}, "the body has no checks.1.at"),
        ({"status.deeper": "x"}, "the body has no status.deeper"),
    ],
)
def test_json_values(equal, reason):
    """Values are compared with their type, at paths of keys and indices."""
    failure = check_json(BODY, equal, {}, NOW_NS)
    assert (failure.reason if failure else None) == reason


@pytest.mark.parametrize(
    ("younger", "reason"),
    [
        ({"checks.0.at": 30}, None),
        ({"unix": 30}, None),
        ({"checks.0.at": 10}, "checks.0.at is 20 s old, expected at most 10 s"),
        ({"status": 10}, 'status is not a time: "ok"'),
        ({"ready": 10}, "ready is not a time: true"),
        ({"none": 10}, "the body has no none"),
    ],
)
def test_the_age_of_a_json_time(younger, reason):
    """An application that answers while it makes no progress is found out by the age of its own timestamp."""
    failure = check_json(BODY, {}, younger, NOW_NS)
    assert (failure.reason if failure else None) == reason


@pytest.mark.parametrize("body", [" ", "<html>", "[" * 100_000, "\ufffd"])
def test_a_body_that_is_no_json(body):
    """Whatever comes instead of JSON is a failed expectation, not an error."""
    assert check_json(body, {"a": 1}, {}, NOW_NS).reason == ("the body is not JSON" if body.strip() else "the body is empty, not JSON")
    assert check_json(body, {}, {}, NOW_NS) is None


def test_a_long_value_is_shortened():
    """A reason does not carry the body away."""
    assert len(check_json('{"a": "' + "x" * 10_000 + '"}', {"a": 1}, {}, NOW_NS).reason) < 120


def test_dig_finds_what_is_there():
    """Keys of mappings and indices of lists, and nothing by accident."""
    assert dig({"a": [{"b": 1}]}, "a.0.b") == 1
    assert dig({"a": None}, "a") is None
    assert dig({"a": [1]}, "a.-1") is dig({}, "x")


@pytest.mark.parametrize(
    ("left", "margin", "reason"),
    [
        (86_400 * 30, 86_400 * 7, None),
        (86_400 * 2, 86_400 * 7, "the certificate expires in 2.0 days"),
        (-86_400, 86_400 * 7, "the certificate expired 1.0 days ago"),
        (1, None, None),
    ],
)
def test_the_expiry_of_a_certificate(left, margin, reason):
    """A certificate that ends too soon is a failure while there is time to do something."""
    failure = check_expiry(1000 + left, margin, 1000)
    assert (failure.reason if failure else None) == reason


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "*"])
def test_patterns_are_re2(pattern, capfd):
    """A pattern that RE2 does not know is refused with a fix, and nothing is written to standard error."""
    with pytest.raises(OptionError) as error:
        compile_pattern(pattern)
    assert error.value.fix
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("headers", [{"": "x"}, {"a b": "x"}, {"ok": "a\r\nb: c"}, {"ok": "ü"}, {"Content-Length": "3"}])
def test_unfit_headers_are_refused(headers):
    """A header that would break the request, or smuggle another one in, is refused at the start."""
    with pytest.raises(ValidationError):
        TypeAdapter(Headers).validate_python(headers)


def test_header_values_are_secrets():
    """A configured header's value prints as asterisks."""
    headers = TypeAdapter(Headers).validate_python({"authorization": "Bearer abc"})
    assert "abc" not in repr(headers)
    assert headers["authorization"].get_secret_value() == "Bearer abc"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("app.localhost", True), ("::ffff:127.0.0.1", True),
        ("LocalHost", True), ("localhost.", True), ("localhost6", False), ("mylocalhost", False),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.com", False), ("localhost.example.com", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host, loopback):
    """On loopback alone the `Host` header is checked, because only there a browser is the way in."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True), ("localhost:9464", True), ("127.0.0.1:9464", True), ("[::1]:9464", True), ("[::1]", True), ("10.0.0.1", True),
        ("app.localhost:80", True), ("", True), ("evil.example", False), ("evil.example:9464", False), ("127.0.0.1.evil.example", False),
    ],
)  # fmt: skip
def test_a_foreign_name_is_no_host_of_ours(host, allowed):
    """On loopback a browser must not be tricked into reading us under another name; elsewhere names are the network's business."""
    assert host_allowed(host, loopback=True) is allowed
    assert host_allowed(host, loopback=False)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("127.0.0.1", False), ("10.1.2.3", False), ("93.184.216.34", False), ("::1", False),
        ("169.254.169.254", True), ("169.254.1.1", True), ("fe80::1", True), ("fe80::1%eth0", True), ("::ffff:169.254.169.254", True),
        ("64:ff9b::169.254.169.254", True), ("64:ff9b::a9fe:101", True), ("64:ff9b::8.8.8.8", False),
        ("64:ff9b:1:a9fe:a9:fe00::", True), ("64:ff9b:1:ffa9:fe:a9fe::", True), ("64:ff9b:1:ffff:a9:fea9:fe00:0", True),
        ("64:ff9b:1::8.8.8.8", False), ("2001:db8:64::169.254.169.254", True), ("2001:db8:64::169.254.7.7", False),
        ("2002:a9fe:a9fe::1", True), ("2002:808:808::1", False), ("2001:0:a9fe:a9fe::1", True), ("2001:0:808:808:0:0:5601:5601", True),
        ("::169.254.169.254", True), ("::ffff:0:169.254.0.9", True), ("fe81::5efe:1.2.3.4", True), ("2001:db8::200:5efe:169.254.3.4", True),
        ("64:ff9b::6464:64c8", True), ("64:ff9b::a83f:8110", True), ("2001:4860:4860::8888", False), ("::ffff:10.0.0.1", False),
        ("fd00:ec2::254", True), ("100.100.100.200", True), ("0.0.0.0", True), ("::", True), ("224.0.0.1", True), ("x", True),
    ],
)  # fmt: skip
def test_probes_do_not_fetch_credentials(address, refused):
    """Metadata and link-local addresses, however they are written, are refused unless they are allowed."""
    assert (probe_objection(address) is not None) is refused


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0xa9.254.0xa9.0376", "169.16689662"])
async def test_the_resolver_knows_the_other_spellings(host):
    """The C library also takes an address that is written as one number, in hexadecimal, in octal or with fewer parts."""
    with pytest.raises(NetworkError, match="metadata"):
        permitted(host, await Resolver().resolve(host, 80), probe_objection)


async def test_only_permitted_addresses_are_connected_to():
    """The decision is made on the resolved addresses: those that are refused are left out, and a host that has no other is an error."""
    own, metadata = await Resolver().resolve("127.0.0.1", 80), await Resolver().resolve("169.254.169.254", 80)
    assert permitted("both.test", [*metadata, *own], probe_objection) == own
    assert permitted("any.test", metadata, None) == metadata
    with pytest.raises(NetworkError, match="metadata"):
        permitted("name.test", metadata, probe_objection)
    with pytest.raises(NetworkError, match=r"name\.test has no address"):
        permitted("name.test", [], probe_objection)


def test_a_host_stands_before_its_port():
    """An IPv6 address is put into brackets before a port, a name and an IPv4 address are not."""
    assert [bracketed(host) for host in ("::1", "fe80::1%eth0", "10.0.0.1", "collector.test")] == [
        "[::1]", "[fe80::1%eth0]", "10.0.0.1", "collector.test",
    ]  # fmt: skip
