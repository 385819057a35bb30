"""The `web.config` file: its options, and that all faults are reported at once with their places."""

from __future__ import annotations

import importlib.util
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from agent.config import InvalidConfigError, read
from agent.config.web import read_web

if TYPE_CHECKING:
    from pathlib import Path

HASH = "$2y$04$O2MAXjBxHWH9qbzuZpYJI.Vkbe1tHbbIsj5VQjWuhVgSKNHiDn7cu"
MINIMUM = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    """A directory with a certificate, its key, and the authority's certificate."""
    issued = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def _web(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def _faults(path: Path) -> list[str]:
    with pytest.raises(InvalidConfigError) as caught:
        read_web(path)
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).split("\n")]


def test_the_whole_format_is_read(folder: Path):
    """Every key of the format that can be honoured here is taken, file names from the file's own directory."""
    web = read_web(
        _web(
            folder,
            f"""
tls_server_config:
  cert_file: cert.pem
  key_file: {folder}/key.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.test]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers: {{Strict-Transport-Security: max-age=1, X-Frame-Options: deny, Content-Security-Policy: ""}}
basic_auth_users:
  alice: {HASH}
rate_limit: {{interval: 1s, burst: 20}}
""",
        )
    )
    assert web.guarded
    assert web.tls_server_config is not None
    assert web.tls_server_config.cert_file == folder / "cert.pem"
    assert web.basic_auth_users["alice"].get_secret_value() == HASH
    assert HASH not in repr(web)
    assert web.http_server_config.headers.named() == [
        ("content-security-policy", ""),
        ("x-frame-options", "deny"),
        ("strict-transport-security", "max-age=1"),
    ]
    assert (web.rate_limit.interval, web.rate_limit.burst) == (1.0, 20)


def test_an_empty_file_guards_nothing(folder: Path):
    """Without content there is neither TLS nor a password."""
    web = read_web(_web(folder, ""))
    assert (web.guarded, web.tls_server_config) == (False, None)


def test_certificate_and_key_may_stand_in_the_file(folder: Path):
    """`cert`, `key` and `client_ca` are PEM text."""
    indented = {name: (folder / f"{name}.pem").read_text().replace("\n", "\n    ") for name in ("cert", "key", "ca")}
    text = "".join(f"  {key}: |\n    {indented[name]}\n" for key, name in (("cert", "cert"), ("key", "key"), ("client_ca", "ca")))
    web = read_web(_web(folder, f"tls_server_config:\n{text}  client_auth_type: RequireAndVerifyClientCert\n"))
    assert web.guarded
    assert "PRIVATE" not in repr(web)


def test_a_password_that_takes_too_long_to_check_is_refused(folder: Path):
    """Any request, also one with a wrong password, would keep a core busy for so long; the fault names the cost, its bound and the remedy."""
    users = "".join(f"  user{cost}: {HASH.replace('$04$', f'${cost:02}$')}\n" for cost in (4, 16, 17, 31))

    faults = _faults(_web(folder, f"basic_auth_users:\n{users}"))

    assert [fault.split(": ")[0] for fault in faults] == ["web.yml:4:11", "web.yml:5:11"]
    assert "basic_auth_users.user17" in faults[0]
    assert "bcrypt cost of 17" in faults[0]
    assert "at most 16" in faults[0]
    assert "htpasswd -nBC 10" in faults[0]
    assert all(HASH[7:] not in fault for fault in faults)


def test_all_faults_are_told_at_once_with_their_places(folder: Path):
    """Unknown keys, wrong values and files that are not there: each with line, column and what to write."""
    faults = _faults(
        _web(
            folder,
            """tls_server_config:
  cert_file: missing.pem
  key_file: key.pem
  min_version: TLS14
  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]
  client_auth_type: RequireAnyClientCert
basic_auth_user: {}
basic_auth_users:
  bob: plain
rate_limit: {interval: soon}
""",
        )
    )
    places = [fault.split(": ")[0] for fault in faults]
    assert places == ["web.yml:2:14", "web.yml:4:16", "web.yml:5:19", "web.yml:6:21", "web.yml:7:1", "web.yml:9:8", "web.yml:10:24"]
    assert "no such file: missing.pem" in faults[0]
    assert "without verifying it" in faults[3]
    assert "basic_auth_users" in faults[4]
    assert "is not a bcrypt hash" in faults[5]
    assert all("plain" not in fault for fault in faults)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("{key_file: key.pem}", "there is no cert"),
        ("{cert_file: cert.pem}", "there is no key"),
        ("{cert_file: cert.pem, key_file: key.pem, cert: x}", "exclude each other"),
        ("{cert_file: cert.pem, key_file: ca.pem}", "certificate, key or CA can't be used"),
        ("{cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem}", "need each other"),
        ("{cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAndVerifyClientCert}", "need each other"),
        ("{cert_file: cert.pem, key_file: key.pem, client_allowed_sans: [a]}", "no name to compare"),
        ("{cert_file: cert.pem, key_file: key.pem, min_version: TLS13, max_version: TLS12}", "is newer than"),
        ("{cert_file: cert.pem, key_file: key.pem, curve_preferences: [CurveP256, X25519]}", "at most 1"),
        ("{cert_file: cert.pem, key_file: key.pem, client_auth_type: Maybe}", "is not a client_auth_type"),
        ("{cert_file: cert.pem, key_file: key.pem, curve_preferences: [Curve1]}", "is not available"),
    ],
)
def test_what_does_not_fit_together_is_refused(folder: Path, section: str, complaint: str):
    """A certificate without a key, a CA without client certificates, versions the wrong way round: one fault, with its place."""
    [fault] = _faults(_web(folder, f"tls_server_config: {section}\n"))
    assert complaint in fault
    assert fault.startswith("web.yml:1:")


def test_users_need_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Without bcrypt, users are a fault that names the extra; without users it is not asked for."""
    monkeypatch.setattr("agent.config.web.find_spec", lambda name: None if name == "bcrypt" else importlib.util.find_spec(name))
    [fault] = _faults(_web(folder, f"basic_auth_users: {{alice: {HASH}}}\n"))
    assert "pip install 'outrider[web]'" in fault
    assert read_web(_web(folder, MINIMUM)).tls_server_config is not None


def test_its_faults_come_with_those_of_the_configuration(folder: Path):
    """The main file's faults and those of its web.config are one list."""
    web = _web(folder, "nonsense: 1\n")
    main = folder / "main.yaml"
    main.write_text(f"server:\n  web_config: {web}\nlogg: {{}}\n")
    with pytest.raises(InvalidConfigError) as caught:
        read(main, {})
    assert [str(fault.place).rpartition("/")[2] for fault in caught.value.faults] == ["main.yaml:3:1", "web.yml:1:1"]


@pytest.mark.parametrize(
    ("server", "web", "accepted"),
    [
        ("", MINIMUM, False),
        ("", f"basic_auth_users: {{a: {HASH}}}\n", True),
        ("", MINIMUM[:-2] + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}\n", True),
        ("\n  bearer_token: abcdefgh", MINIMUM, True),
        ("\n  insecure: true", MINIMUM, True),
    ],
)
def test_an_address_for_others_needs_a_guard(folder: Path, server: str, web: str, accepted: bool):
    """TLS alone does not restrict clients: listening for other machines takes users, client certificates, a token, or the word `insecure`."""
    main = folder / "main.yaml"
    main.write_text(f"server:\n  listen: 0.0.0.0:9464\n  web_config: {_web(folder, web)}{server}\n")
    if accepted:
        assert read(main, {}).settings.server.listen == "0.0.0.0:9464"
        return
    with pytest.raises(InvalidConfigError, match=r"main\.yaml:2:11: server\.listen: can be reached by other machines"):
        read(main, {})


ASKING = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from agent.config.web import read_web
from agent.net.tls import TlsOptions, load_context
from agent.config.tree import InvalidConfigError
from pathlib import Path
folder = Path(sys.argv[1])
try:
    read_web(folder / "web.yml")
except InvalidConfigError:
    print("refused")
try:
    load_context(TlsOptions(cert_file=folder / "cert.pem", key_file=folder / "key.pem"))
except OSError:
    print("refused")
"""


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(folder: Path):
    """Also on a terminal, where the start, or the loop at a later handshake, would wait for an answer that never comes."""
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    form, sealed = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, sealed))
    _web(folder, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    ours, terminal = pty.openpty()
    with open(ours, "rb"), open(terminal, "rb") as given:
        command = [sys.executable, "-c", ASKING, str(folder)]
        found = subprocess.run(command, check=False, stdin=given, capture_output=True, text=True, start_new_session=True, timeout=20)
    assert (found.stdout, found.stderr) == ("refused\nrefused\n", "")
