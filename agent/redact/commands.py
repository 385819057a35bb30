"""Programs that take a password as an argument without naming it: `curl -u user:…`, `mysql -p…`.

The arguments stand in a text as they were typed, or as a list is printed (`['mysql', '-p…']`), or are a list joined by `SEPARATOR`.
"""

from __future__ import annotations

from typing import Final

from agent.redact.raw import BEGINS

SEPARATOR: Final = "\x1f"
_GAP: Final = r"""[\s"',\x1f\\]+"""
_RAW_GAP: Final = r"""[\\\s"',]"""
_ARGUMENT: Final = r"""["']?([^\s"'\x1f\\|;&,]+)"""
_AFTER_USER: Final = r"""["']?[^\s:"'\x1f=]+:([^\s"'\x1f\\]+)"""
_ATTACHED: Final = r"""["']?([^\s"'\x1f\\|;&,=-][^\s"'\x1f\\|;&,]*)"""
_NEXT: Final = r"""[=\s"',\x1f\\]*"""

_TABLE: Final = (
    # (programs, the same in raw bytes, the option up to its value, its value)
    ("curl|wget|svn", None, rf"(?:-[a-zA-Z]*[uU]|--(?:proxy-)?user){_NEXT}", _AFTER_USER),
    ("lftp", None, rf"-u{_NEXT}[^\s,]+,", _ARGUMENT),
    (r"mysql\w*|mariadb[\w-]*|xtrabackup|innobackupex|mycli|pt-[\w-]+|unrar", None, "-p", _ATTACHED),
    ("7z[ar]?", f"{BEGINS}7z[ar]?", "-p", _ATTACHED),
    (r"sshpass|mongo(?:sh|dump|restore|export|import)?|ipmitool", None, rf"-[pP]{_NEXT}", _ATTACHED),
    (
        rf"(?:docker|podman|nerdctl|buildah|skopeo|crane|oc|az|helm|cf){_GAP}(?:registry{_GAP})?login|twine{_GAP}upload",
        rf"(?:docker|podman|nerdctl|buildah|skopeo|crane|oc|az|helm|cf){_RAW_GAP}+(?:registry{_RAW_GAP}+)?login|twine{_RAW_GAP}+upload",
        rf"-p{_NEXT}",
        _ATTACHED,
    ),
    ("redis-cli|valkey-cli|keydb-cli", None, rf"-a{_NEXT}", _ATTACHED),
    ("ldap(?:search|modify|add|delete|whoami|passwd|compare)", None, rf"-[ws]{_NEXT}", _ATTACHED),
    (r"smbclient|rpcclient|mount\.cifs", None, rf"-U{_NEXT}[^\s%]+%", _ARGUMENT),
    (r"zip|unzip|sqlcmd|bcp|osql|tsql|mosquitto_\w+", None, rf"-[P]{_NEXT}", _ATTACHED),
    ("rabbitmqctl", None, rf"(?:add_user|change_password|authenticate_user){_GAP}\S+{_GAP}", _ARGUMENT),
    ("useradd|usermod|adduser", None, rf"-p{_NEXT}", _ATTACHED),
    ("ssh-keygen", None, rf"-[NP]{_NEXT}", _ATTACHED),
    ("cqlsh", None, rf"-p{_NEXT}", _ATTACHED),
    ("x?freerdp3?|rdesktop", None, rf"(?:/p:|-p{_GAP})", _ARGUMENT),
    ("openssl|gpg2?", None, rf"(?:-pass(?:in|out)?{_GAP}pass:|--passphrase{_NEXT})", _ARGUMENT),
    ("openssl", None, rf"-k{_GAP}", _ATTACHED),
    ("sqlplus|sqlldr|expdp|impdp|rman", None, r"[\w$#]+/", r"""([^\s@/"'\x1f]+)@"""),
    ("htpasswd", None, rf"-\w*b\w*{_GAP}\S+{_GAP}\S+{_GAP}", _ARGUMENT),
)
_LITERAL: Final = r"""b?(?:'[^'\n]*'|"[^"\n]*"|[^'",()\n]+)"""
_TAKEN_LITERAL: Final = r"""b?(?:'([^'\n]+)'|"([^"\n]+)")"""
PATTERNS: Final = (
    *(rf"\b(?:{programs})\b[^\n|;&]*?{_GAP}{option}{value}" for programs, _, option, value in _TABLE),
    rf"\b(?:https?|xh){_GAP}(?:--auth|-a){_NEXT}{_AFTER_USER}",
    r"""\becho[ \t]+(?:-n[ \t]+)?["']?[\w.-]+:([^\s"'|]+)["']?[ \t]*\|[ \t]*(?:sudo[ \t]+)?chpasswd""",
    r"""\becho[ \t]+(?:-n[ \t]+)?["']?([^\s"'|]+)["']?[ \t]*\|[ \t]*(?:sudo[ \t]+-S|[^|\n]*(?:--(?:password|passphrase)-(?:stdin|fd)|secret[ \t]+create))""",
    r"\bcomposer[ \t]+config[^\n|;&]*?[ \t]http-basic\.\S+[ \t]+\S+[ \t]+(\S+)",
    r"\bbundle[ \t]+config[ \t]+(?:set[ \t]+)?(?:--\w+[ \t]+)*[\w.-]+[ \t]+[^\s:]+:(\S+)",
    r"""passwd\b[^\n|;]*<<<[ \t]*["']?(?:[\w.-]+:)?([^\s"':]+)""",
    # the password by its place: arguments of well-known functions, of commands, of Redis
    rf"(?:PDO(?:->|::)__construct|mysqli(?:->|::)(?:__construct|real_connect)|mysqli?_p?connect|ldap_bind)\([ \t]*{_LITERAL},[ \t]*{_LITERAL},[ \t]*{_TAKEN_LITERAL}",
    rf"\b(?:(?:http_?|proxy_?|basic_?)?auth[ \t]*=[ \t]*[(\[]|(?:login|authenticate|username_pw_set|simple_bind_s?|basic_?auth)\()[ \t]*{_LITERAL},[ \t]*{_TAKEN_LITERAL}",
    r"""(?i:passw\w*:?[ ]?\\*["'][\s;{}]*(?:exp_)?send(?:_user)?[ \t]+(?:--[ \t]+)?\\*["']([^"'\\\n]+))""",
    rf"password_(?:verify|hash)\([ \t]*{_TAKEN_LITERAL}",
    r"\bvault[ \t]+login[ \t]+(?:-[\w=-]+[ \t]+)*(?:token=)?([^\s=|;&-][^\s=|;&]*)",
    r"(?i:\bnet[ \t]+use[ \t]+(?:[^\s|;&]+[ \t]+)*?/user:\S+[ \t]+([^\s/|;&][^\s|;&]*))",
    r"(?i:\bnet[ \t]+user[ \t]+[^\s/|;&]+[ \t]+([^\s/*|;&][^\s|;&]*)[ \t]+/add)",
    r"(?i:\bsnmp\S*(?:[ \t]+\S+)*?[ \t]+(?:-[cAX]|community(?:[ \t]+string)?)[ \t:=]+[\"']?([^\s\"'|;&]+))",
    r"\bmc[ \t]+(?:alias[ \t]+set|config[ \t]+host[ \t]+add)[ \t]+\S+[ \t]+\S+[ \t]+\S+[ \t]+(\S+)",
    r"(?i:\bacl[ \t]+setuser[ \t]+\S+(?:[ \t]+[^\s>]\S*)*[ \t]+>(\S+))",
    r"""(?i:\\*["']AUTH\\*["'],?[ \t]+(?:\\*["'][^"'\s]+\\*["'],?[ \t]+)?\\*["']([^"'\s\\]+))""",
)
"""Patterns with the password as their group."""
HINTS: Final = (
    *(rf"(?:{raw or programs}){_RAW_GAP}" for programs, raw, _, _ in _TABLE),
    rf"(?:https?|xh){_RAW_GAP}+(?:--auth|-a)",
    rf"sudo{_RAW_GAP}+-s",
    "pdo(?:->|::)__|mysqli|mysql_p?connect|ldap_bind",
    rf"vault{_RAW_GAP}+login",
    rf"net{_RAW_GAP}+user?{_RAW_GAP}",
    "snmp",
    r"(?:auth[ \t]*=[ \t]*[(\[]|login\(|authenticate\(|username_pw_set|simple_bind|basic_?auth\()",
    r"send(?:_user)?[ \t]+(?:--[ \t]+)?\\*[\"']",
    rf"acl{_RAW_GAP}+setuser",
    rf"mc{_RAW_GAP}+(?:alias{_RAW_GAP}+set|config{_RAW_GAP}+host)",
    rf"composer{_RAW_GAP}+config|bundle{_RAW_GAP}+config",
)
"""Words of the raw bytes where one of them matches."""
