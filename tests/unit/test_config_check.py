"""A mapping against a model: secrets and their files, texts from the environment, names, and what is never printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, Field

from agent.component import ComponentConfig
from agent.config import InvalidConfigError, read
from agent.config.check import check
from agent.config.document import parse
from agent.config.secrets import literal_passwords, literal_secrets
from agent.config.tree import Site
from agent.options import OptionError, Secret


class Login(ComponentConfig):
    user: str
    password: Secret


def _dsn(value: Secret) -> Secret:
    if "@" not in value.get_secret_value():
        raise OptionError(f"no user in {value.get_secret_value()}", f"put one before the @ of {value.get_secret_value()}")
    return value


class Options(ComponentConfig):
    dsn: Annotated[Secret, AfterValidator(_dsn)] | None = None
    login: Login | None = None
    logins: tuple[Login, ...] = ()
    headers: dict[str, Secret] = Field(default_factory=dict)
    port: int = 0


def checked(text: str, **env: str):
    """The options and the faults of a YAML text."""
    tree = parse(text.encode(), "f.yaml", env)
    return check(Options, tree.data, Site(tree, ())), [str(fault) for fault in tree.faults]


def test_a_secret_from_a_file(tmp_path):
    """Each secret has a `_file` twin, at any depth; the last line break of the file is not part of it."""
    file = tmp_path / "password"
    file.write_text(" hunter2 \r\n")
    found, faults = checked(f"login: {{user: a, password_file: {file}}}\nlogins: [{{user: b, password_file: {file}}}]\n")
    assert faults == []
    assert found.login.password.get_secret_value() == " hunter2 "
    assert found.logins[0].password.get_secret_value() == " hunter2 "


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n", "is empty (fix: write the secret into it)"),
        (b"\xff\xfe", "it is not text (fix: write the secret into it, as UTF-8)"),
        (None, "No such file or directory (fix: create it or correct the path)"),
    ],
)
def test_a_file_without_a_secret(tmp_path, content, said):
    """A secret's file that has none is named with what to do about it, and nothing of the secret is shown."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    found, faults = checked(f"login: {{user: a, password_file: {file}}}\n")
    assert found is None or faults
    assert [fault.endswith(said) for fault in faults] == [True]


def test_a_secret_that_may_not_be_read(tmp_path, monkeypatch):
    """The message names the user that must be able to read it."""

    def refuse(_path: Path, **_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    _, (fault,) = checked(f"login: {{user: a, password_file: {tmp_path}/password}}\n")
    assert fault.endswith("Permission denied (fix: let user 1000 read it)")


def test_a_header_from_a_file(tmp_path):
    """Each header may be given as `<name>_file`: it is sent under its own name, with what the file holds, and is not warned about."""
    file = tmp_path / "token"
    file.write_text("Bearer hunter2\n")
    text = f"headers:\n  Authorization_file: {file}\n  X-Scope-OrgID_file: {file}\n  plain: a\n"
    found, faults = checked(text)
    assert faults == []
    assert {name: value.get_secret_value() for name, value in found.headers.items()} == {
        "Authorization": "Bearer hunter2",
        "X-Scope-OrgID": "Bearer hunter2",
        "plain": "a",
    }
    tree = parse(text.encode(), "f.yaml", {})
    assert list(literal_secrets(Options, tree.data, Site(tree, ()))) == []


def test_a_header_file_that_cannot_be_used(tmp_path):
    """A header's missing file, and one beside the header itself, are faults at their places."""
    _, faults = checked("headers:\n  api-key_file: /no/such\n  other: x\n  other_file: /no/such\n")
    assert [fault.partition(" (fix")[0] for fault in faults] == [
        "f.yaml:2:17: headers.api-key_file: cannot read /no/such: No such file or directory",
        "f.yaml:4:15: headers.other_file: other is given as well",
    ]


def test_a_secret_file_that_cannot_be_used(tmp_path):
    """A missing, an empty and a binary secret file and one beside the secret itself are each one fault at their place."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    _, faults = checked(
        "logins:\n"
        "  - {user: a, password_file: /no/such}\n"
        f"  - {{user: a, password_file: {tmp_path}/empty}}\n"
        f"  - {{user: a, password_file: {tmp_path}/binary}}\n"
        f"  - {{user: a, password: x, password_file: {tmp_path}/empty}}\n"
    )
    assert [fault.partition(" (fix")[0] for fault in faults] == [
        "f.yaml:2:30: logins[0].password_file: cannot read /no/such: No such file or directory",
        f"f.yaml:3:30: logins[1].password_file: {tmp_path}/empty is empty",
        f"f.yaml:4:30: logins[2].password_file: cannot read {tmp_path}/binary: it is not text",
        "f.yaml:5:43: logins[3].password_file: password is given as well",
    ]


def test_a_bad_secret_is_not_printed():
    """A fault of a secret says what is wrong without the secret, whatever the component's message holds."""
    _, faults = checked("dsn: ${DSN}\n", DSN="hunter2")
    assert faults == ["f.yaml:1:6: dsn: no user in ********** (fix: put one before the @ of **********)"]


def test_digits_from_the_environment_stay_text():
    """A secret or a text that consists of digits keeps its leading zeros; a number from the environment is a number."""
    found, faults = checked(
        "login: {user: '${U}', password: '${P}'}\nlogins:\n- user: ${U}\n  password: ${P}\nport: ${N}\n", U="007", P="1e5", N="80"
    )
    assert faults == []
    assert (found.logins[0].user, found.logins[0].password.get_secret_value(), found.port) == ("007", "1e5", 80)


def test_a_literal_secret_warns():
    """A secret that stands in the file itself is warned about; one from the environment or a file, or a harmless header, is not."""
    text = "dsn: a@b\nlogin: {user: a, password: '${P}'}\nheaders:\n  Authorization: Bearer x\n  X-Scope-OrgID: t\n  api-key: ${P}\n"
    tree = parse(text.encode(), "f.yaml", {"P": "x"})
    warnings = [str(warning) for warning in literal_secrets(Options, tree.data, Site(tree, ()))]
    assert warnings == [
        "f.yaml:1:6: dsn: a secret stands in the file (fix: write ${NAME} and set NAME in the environment, or name a file with dsn_file)",
        (
            "f.yaml:4:18: headers.Authorization: a secret stands in the file (fix: write ${NAME} and set NAME in the environment, or name a file "
            "with Authorization_file)"
        ),
    ]


def test_a_password_in_a_url_warns():
    """A URL with a password in the file itself is warned about, without the password; a user alone or a referenced password is not."""
    text = "a: http://u:hunter2@h/\nb: [{c: 'redis://:hunter2@h'}]\nd: http://u@h:80/\ne: http://u:${P}@h\nf: 'no://hunter2 : x@y'\n"
    tree = parse(text.encode(), "f.yaml", {"P": "x"})
    found = list(literal_passwords(tree.data, Site(tree, ())))
    assert [(fault.place.line, fault.path) for fault in found] == [(1, "a"), (2, "b[0].c")]
    assert "hunter2" not in str(found)


def test_unknown_keys_at_depth():
    """An unknown key is found at any depth, with the nearest key of the mapping it stands in, twins included."""
    _, faults = checked("logins:\n  - {user: a, passwort_file: b}\n  - {usr: a, password: b}\n")
    assert [fault.partition(": ")[2] for fault in faults] == [
        "logins[0].password: is required (fix: add `password: …`)",
        "logins[0].passwort_file: unknown key (fix: did you mean 'password_file'?)",
        "logins[1].user: is required (fix: add `user: …`)",
        "logins[1].usr: unknown key (fix: did you mean 'user'?)",
    ]


def test_warnings_of_a_file(tmp_path):
    """A literal secret of a configured component is among the warnings of the whole, which come in the order of the file."""
    file = tmp_path / "f.yaml"
    url = "probes: [{url: 'http://u:pw@h/'}]"
    file.write_text(f"exporters:\n  - type: otlp_http\n    endpoint: http://c\n    headers: {{authorization: hunter2}}\n{url}\n")
    settings, warnings = read(file, {})
    assert [(warning.place.line, warning.place.column, warning.path) for warning in warnings] == [
        (4, 30, "exporters[0].headers.authorization"),
        (5, 16, "probes[0].url"),
    ]
    assert "hunter2" not in f"{settings!r}{settings.model_dump_json()}{warnings}"


@pytest.mark.parametrize("kind", ["sources", "samplers", "probes", "exporters"])
def test_a_file_that_is_not_there(tmp_path, kind):
    """A configuration file that cannot be read is a fault, not a traceback."""
    with pytest.raises(InvalidConfigError, match=r"cannot be read: (No such file|Is a directory)"):
        read(tmp_path / kind, {})
    with pytest.raises(InvalidConfigError, match="Is a directory"):
        read(tmp_path, {})
