"""The agent as a process, its pages behind TLS and a password."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import bcrypt
import pytest
import trustme

from tests.support.agent_process import AgentProcess, outrider

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def _configuration(folder: Path, authority: trustme.CA) -> Path:
    issued = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    stored = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()
    web = folder / "web.yml"
    web.write_text(f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\nbasic_auth_users: {{alice: {stored}}}\n")
    main = folder / "main.yaml"
    main.write_text(f"server:\n  listen: 127.0.0.1:0\n  web_config: {web}\nexporters: []\n")
    return main


def _get(url: str, context: ssl.SSLContext, authorization: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_metrics_behind_tls_and_a_password(tmp_path: Path):
    """`/metrics` is for who has the password, over TLS; `outrider healthcheck` needs neither; a wrong file ends in exit code 78 with its place."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    main = _configuration(tmp_path, authority)
    state = tmp_path / "state"
    with AgentProcess(state, "--config", str(main)) as agent:
        address = next(line for line in agent.log_file.read_text().split('"') if line.startswith("127.0.0.1:"))
        url = f"https://{address}/metrics"
        assert _get(url, context)[0] == 401
        status, page = _get(url, context, "Basic " + base64.b64encode(b"alice:wonderland").decode())
        assert status == 200
        assert b"target_info{" in page
        assert outrider("healthcheck", state=state).returncode == 0
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: cert.pem}\n")
    refused = outrider("run", "--config", str(main), state=state)
    assert (refused.returncode, b"web.yml:1:20: tls_server_config.key_file: there is no key" in refused.stderr) == (78, True)
