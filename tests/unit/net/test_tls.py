from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime

import pytest
import trustme
from pydantic import ValidationError

from agent.net import tls
from agent.net.errors import ErrorKind, NetworkError
from agent.net.tls import TlsContext, TlsOptions, certificate_expiry, explain, shared_context


def _touch(path, data: bytes, tick: int) -> None:
    path.write_bytes(data)
    os.utime(path, ns=(tick, tick))


@pytest.fixture
def ca_file(tmp_path, authority):
    """The authority's certificate as a file."""
    path = tmp_path / "ca.pem"
    _touch(path, authority.cert_pem.bytes(), 1)
    return path


def test_verifies_by_default(ca_file):
    """A context verifies the certificate and the name, from TLS 1.2 on."""
    context = TlsContext(TlsOptions(ca_file=ca_file)).get()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_equal_options_share_a_context(ca_file):
    """Equal options share a context, loaded once; other options have their own; unused ones are dropped."""
    one, same = (shared_context(TlsOptions(ca_file=ca_file)) for _ in range(2))
    other = shared_context(TlsOptions(ca_file=ca_file, min_version="1.3"))
    assert one is same
    assert other is not one
    assert one.get() is same.get()
    assert other.get() is not one.get()
    del one, same
    assert (TlsOptions(ca_file=ca_file), ()) not in tls._shared


def test_options_reach_the_context():
    """Skipping verification and the minimum version take effect."""
    context = TlsContext(TlsOptions(insecure_skip_verify=True, min_version="1.3")).get()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_context_is_kept_while_its_files_stay(ca_file):
    """The context is not loaded again for each connection."""
    source = TlsContext(TlsOptions(ca_file=ca_file))
    assert source.get() is source.get()


def test_ca_is_read_again_when_it_changed(ca_file):
    """A rotated CA file is in force at the next connection."""
    source = TlsContext(TlsOptions(ca_file=ca_file))
    first = source.get()
    _touch(ca_file, trustme.CA().cert_pem.bytes(), 2)
    second = source.get()
    assert second is not first
    assert first.get_ca_certs(binary_form=True) != second.get_ca_certs(binary_form=True)


@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_half_way_replaced_files_leave_the_old_context(ca_file, damage):
    """While the file can't be used the former context stays, and the new one comes as soon as it can."""
    source = TlsContext(TlsOptions(ca_file=ca_file))
    first = source.get()
    if damage == "missing":
        ca_file.unlink()
    else:
        _touch(ca_file, b"half a certif", 2)
    assert source.get() is first
    _touch(ca_file, trustme.CA().cert_pem.bytes(), 3)
    assert source.get() is not first


def test_unusable_files_from_the_start_are_an_error(ca_file):
    """Without a former context the error is raised."""
    source = TlsContext(TlsOptions(ca_file=ca_file))
    _touch(ca_file, b"garbage", 2)
    with pytest.raises(NetworkError) as raised:
        source.get()
    assert raised.value.kind is ErrorKind.TLS


def test_a_key_without_certificate_is_refused(ca_file):
    """A key needs its certificate."""
    with pytest.raises(ValidationError, match="key_file needs cert_file"):
        TlsOptions(key_file=ca_file)


@pytest.mark.parametrize(
    "when", [datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)]
)
def test_expiry_is_read_from_the_certificate(authority, when):
    """`notAfter` is read in both of its forms: two-digit years up to 2049, four-digit ones from 2050."""
    issued = authority.issue_cert("h", not_after=when, not_before=datetime(2020, 1, 1, tzinfo=UTC))
    assert certificate_expiry(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())) == when.timestamp()


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x80", b"\x30\x03abc", b"\x30\x82\xff\xff", bytes(100), b"\xff" * 100])
def test_expiry_of_garbage_is_unknown(der):
    """Bytes that are not a certificate have no expiry, and raise nothing."""
    assert certificate_expiry(der) is None


def test_explanations_are_one_sentence():
    """Whatever went wrong, the explanation is text for a person."""
    assert explain(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")).startswith("TLS handshake failed: ")
    assert explain(ConnectionResetError(104, "Connection reset by peer")) == "TLS handshake failed: [Errno 104] Connection reset by peer"
