"""The agent as a process, its pages behind TLS and a password."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import bcrypt
import pytest
import trustme

from tests.support.agent_process import AgentProcess, outrider, wait_until

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
    """`/metrics` needs TLS and the password; `outrider healthcheck` needs neither; a wrong file ends in exit code 78 with its place."""
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


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian package prometheus)")
def test_prometheus_scrapes_over_tls_with_a_password(tmp_path: Path):
    """Debian's Prometheus, configured with authority, user and password, scrapes the page."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with AgentProcess(tmp_path / "state", "--config", str(_configuration(tmp_path, authority))) as agent:
        address = next(line for line in agent.log_file.read_text().split('"') if line.startswith("127.0.0.1:"))
        settings = {
            "job_name": "outrider",
            "scrape_interval": "1s",
            "scheme": "https",
            "tls_config": {"ca_file": str(tmp_path / "ca.pem")},
            "basic_auth": {"username": "alice", "password": "wonderland"},
            "static_configs": [{"targets": [address]}],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [settings]}))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        options = (f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}")
        command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: _value(port, "up") == "1", "Prometheus has scraped us")
                assert _value(port, "outrider_build_info") == "1"
            finally:
                process.terminate()


def _value(port: int, query: str) -> str | None:
    """The first value of a query; None while there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={query}", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return None
    return found[0]["value"][1] if found else None
