"""Secrets that are known by themselves, wherever they stand: private keys, tokens of vendors, passwords in URLs, password hashes."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.redact.raw import BEGINS


class Shape(NamedTuple):
    """One shape of secret values: `pattern` with the secret as its last group, and `hint`, which every raw line with one must hold.

    The hint is searched in bytes as they were written, where JSON may have put a backslash before what the pattern sees, or the letter of an
    escape: so it has no word boundaries and no white space.
    """

    rule: str
    pattern: str
    hint: str


_VENDORS: Final = (
    # GitHub, GitLab
    ("gh[pousr]_[A-Za-z0-9]{30,}", "gh[pousr]_[a-z0-9]{8}"),
    (r"github_pat_\w{20,}", "github_pat_"),
    (r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|oas|ffct)-[\w.-]{16,}", r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|oas|ffct)-[\w-]{8}"),
    # Slack, Discord, Teams, Telegram, Zapier
    (r"xox[abeoprs](?:\.xox[bp])?-[\w-]{10,}", r"xox[abeoprs](?:\.xox[bp])?-"),
    (r"xapp-[\w-]{10,}", "xapp-"),
    (r"hooks\.slack\.com/(?:services|workflows|triggers)/([\w/]{20,})", r"hooks\.slack\.com"),
    (r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/([\w-]{20,})", r"discord(?:app)?\.com"),
    (r"\boffice\.com/webhook(?:b2)?/([\w@/-]{30,})", r"office\.com"),
    (r"\bbot(\d{5,12}(?::|%3[aA])[\w-]{30,})|(?:\b|bot)(\d{6,12}(?::|%3[aA])A[\w-]{30,})", r"bot[0-9]{5}|(?::|%3a)a[\w-]{8}"),
    (r"hooks\.zapier\.com/hooks/catch/([\w/]{8,})", r"hooks\.zapier\.com"),
    # payment
    (r"[sr]k_(?:live|test)_\w{10,}", "[sr]k_(?:live|test)_"),
    (r"whsec_[\w+/=]{16,}", "whsec_"),
    (r"\bsq0(?:atp|csp|idp)-[\w-]{20,}", r"sq0[a-z]{3}-"),
    (r"access_token\$(?:production|sandbox)\$\w+\$\w{20,}", r"access_token\$"),
    (r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,}", "shp(?:at|ca|pa|ss)_"),
    # clouds
    (r"AIza[\w-]{35}", r"aiza[\w-]{8}"),
    (r"GOCSPX-[\w-]{20,}", "gocspx-"),
    (r"ya29\.[\w-]{20,}", r"ya29\."),
    (r"\b1//0[\w-]{30,}", r"1\\*/\\*/0[\w-]"),
    (r"\b[\w.~-]{3}[78]Q~[\w.~-]{30,}", r"[78]q~"),
    (r"\bLTAI[A-Za-z0-9]{12,24}\b", "ltai[a-z0-9]{8}"),
    (r"\bAKID[A-Za-z0-9]{24,}\b", "akid[a-z0-9]{8}"),
    (r"\bABSK[A-Za-z0-9+/]{40,}=*", r"absk[a-z0-9+/\\]{8}"),
    (r"do[opr]_v1_[a-f0-9]{40,}", "do[opr]_v1_"),
    (r"HRKU-[\w-]{30,}", r"hrku-"),
    (r"dapi[a-f0-9]{32}(?:-\d)?", "dapi[a-f0-9]{8}"),
    (r"pscale_(?:tkn|pw|oauth)_[\w.=-]{20,}", "pscale_"),
    (r"sb(?:p|_secret)_[\w-]{20,}", "sb(?:p|_secret)_[a-z0-9]{8}"),
    (r"\bFlyV1 [\w+/=,-]{20,}", "flyv1"),
    (r"nfp_[A-Za-z0-9]{30,}", "nfp_"),
    # messages
    (r"\bSK[0-9a-f]{32}\b", f"{BEGINS}sk[0-9a-f]{{32}}"),
    (r"\bAC[0-9a-f]{32}\b", f"{BEGINS}ac[0-9a-f]{{32}}"),
    (r"SG\.[\w-]{16,}\.[\w-]{16,}", r"sg\.[\w-]{8}"),
    (r"\bkey-[0-9a-z]{32}\b", "key-[0-9a-z]{32}"),
    (r"\b[0-9a-f]{32}-us\d{1,2}\b", "-us[0-9]"),
    (r"xkeysib-[0-9a-f]{40,}(?:-\w+)?", "xkeysib-"),
    # models
    (r"\bsk-[\w-]{20,}", r"sk-[\w-]{8}"),
    (r"hf_[A-Za-z0-9]{30,}", "hf_[a-z0-9]{8}"),
    (r"\bgsk_[A-Za-z0-9]{30,}", "gsk_"),
    (r"\bxai-[A-Za-z0-9]{30,}", "xai-"),
    (r"\bpplx-[A-Za-z0-9]{30,}", "pplx-"),
    (r"\br8_[A-Za-z0-9]{30,}", "r8_[a-z0-9]{8}"),
    # packages and images
    (r"npm_[A-Za-z0-9]{30,}", "npm_[a-z0-9]{8}"),
    (r"pypi-Ag[\w-]{14,}|pypi-[\w-]{40,}", r"pypi-[\w-]{8}"),
    (r"rubygems_[a-f0-9]{40,}", "rubygems_"),
    (r"dckr_(?:pat|oat)_[\w-]{20,}", "dckr_[po]at_"),
    (r"\bAKCp[A-Za-z0-9]{40,}", "akcp[a-z0-9]{8}"),
    (r"\boy2[a-z0-9]{43}\b", "oy2[a-z0-9]{8}"),
    # operation
    (r"\bhv[sbr]\.[\w-]{20,}", r"hv[sbr]\."),
    (r"\b[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}", r"\.atlasv1\."),
    (r"sntry[su]_[\w+/=-]{20,}", "sntry[su]_"),
    (r"NR(?:AK|II|AA|JS)-[\w-]{20,}", r"nr(?:ak|ii|aa|js)-[\w-]{8}"),
    (r"gl(?:sa|c)_[\w+/=]{20,}", "gl(?:sa|c)_"),
    (r"ATATT3[\w=-]{20,}", "atatt3"),
    (r"(?:lin_api|lin_oauth)_[A-Za-z0-9]{20,}", "lin_(?:api|oauth)_"),
    (r"\b(?:secret|ntn)_[A-Za-z0-9]{40,}", "(?:secret|ntn)_[a-z0-9]{8}"),
    (r"tskey-\w+-[\w-]{10,}", "tskey-"),
    (r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}", r"dp\.(?:pt|st|ct|sa|scim|audit)\."),
    (r"pul-[a-f0-9]{40}", "pul-[a-f0-9]{8}"),
    (r"figd_[\w-]{30,}", "figd_"),
    (r"PMAK-[\w-]{30,}", "pmak-"),
    (r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{60,}", r"pat[a-z0-9]{8}\."),
    (r"\bsq[upa]_[a-f0-9]{40}", "sq[upa]_[a-f0-9]{8}"),
    (r"CCIPAT_\w+", "ccipat_"),
    (r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", "age-secret-key-"),
    (r"\bops_eyJ[\w-]{20,}", "ops_eyj"),
    (r"EAAA[\w-]{60}|EAA[A-Za-z0-9]{80,}", rf"{BEGINS}eaa[\w-]{{32}}"),
)
"""(pattern, hint); the prefixes are those that the vendors document."""


_CODE: Final = r"""([^\s"'&#]{6,})"""


def _as_one(patterns: tuple[str, ...]) -> str:
    """All as one pattern; whichever matches, the last group that takes part is the secret."""
    return "|".join(pattern if "(" in pattern.replace("(?:", "") else f"({pattern})" for pattern in patterns)


SHAPES: Final = (
    Shape(
        "private_key",
        r"(-{0,5}BEGIN [A-Za-z0-9 ]{0,32}(?:PRIVATE KEY(?: BLOCK)?|Static key V1)-----"
        r"(?s:.*?)(?:-----END [A-Za-z0-9 ]{0,32}(?:PRIVATE KEY(?: BLOCK)?|Static key V1)-----|\z))",
        r"private key|static key v1",
    ),
    Shape("jwt", r"(eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*(?:\.[\w-]+){0,2})", r"eyj[\w-]{8}"),
    Shape(
        "aws_key", r"\b((?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|AIPA)[A-Z0-9]{16})\b", r"(?:a[ks]ia|agpa|aida|aroa|an[pv]a|aipa)[a-z0-9]{16}"
    ),
    Shape("url_password", r"""://[^\s/:@"'<>]*:([^\s/"'<>]+)@""", r""":\\*/\\*/[^\s/"'<>]*@"""),
    Shape("url_key", r"""://([\w-]{16,})(?::[^\s/@"'<>]*)?@""", r""":\\*/\\*/[^\s/"'<>]*@"""),
    Shape("login", r"""\b[\w.-]+:([^\s@/:"'<>]{6,})@[\w-]+(?:\.[\w-]+)*:\d{2,5}\b""", r"@[\w.-]+:[0-9]{2}"),
    Shape("login", r"""\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+(?:[ \t]*/[ \t]+|:)([^\s/:,;"'<>]{8,})""", r"@[\w-]+(?:\.[\w-]+)+[ \t]*[/:]"),
    Shape("login", r"""\bLOGIN[ \t]+[^\s@]+@\S+[ \t]+([^\s"]{6,})""", r"login[\s\\]+[^\s@]+@"),
    Shape("url_password", r"""\b[\w.-]+:([^\s@/"'<>]+)@(?:tcp|unix)\(""", r"@(?:tcp|unix)\("),
    Shape("url_password", r"""jdbc:oracle:\w+:[\w$#]+/([^\s@/"'<>\[]+)@""", r"jdbc:oracle:"),
    Shape(
        "oauth_code",
        rf"(?i)[?&]code={_CODE}(?:&[^\s\"'&]*)*?&state=|[?&]state=[^\s\"'&]*(?:&[^\s\"'&]*)*?&code={_CODE}"
        rf"|(?:callback|oauth2?|/cb|/auth|/signin[\w-]*)[\w/.-]*\?(?:[^\s\"'?]*&)?code={_CODE}"
        rf"|grant_type=authorization_code(?:&[^\s\"'&]*)*?&code={_CODE}|\bcode={_CODE}(?:&[^\s\"'&]*)*?&grant_type=authorization_code",
        r"[?&]code=|grant_type=auth",
    ),
    Shape(
        "link",
        r"(?i)/(?:reset[_-]?password|password[_-]?reset|activate|verify(?:[_-]?email)?|invitations?|magic[_-]?link)(?:/confirm)?/(?:\w{1,8}/)?([\w-]{12,})",
        r"(?:reset[_-]?password|password[_-]?reset|activate|verify(?:[_-]?email)?|invitations?|magic[_-]?link)(?:\\*/confirm)?\\*/",
    ),
    Shape("bearer", r"(?i)\bbearer[ \t]+([a-z._~+/-]*[0-9][\w.~+/-]{5,}=*|[a-z._~+/-]{24,}=*)", r"bearer"),
    Shape("basic", r"\b[Bb]asic[ \t]+([A-Za-z0-9+/]{6,}={1,2}|[A-Za-z]*[0-9+/][A-Za-z0-9+/]{7,})", r"basic[^a-z0-9]+[a-z0-9+/]{7}"),
    Shape(
        "password_hash",
        r"(\$(?:[1567y]|2[abxy]|argon2(?:id?|d)|scrypt|pbkdf2(?:-sha\d+)?|apr1|sm3|gy)\$[\w./+=,$-]{20,}|pbkdf2_sha\d+\$\d+\$[\w./+=$-]{20,})",
        r"\$(?:[1567y]|2[abxy]|argon2(?:id?|d)|scrypt|pbkdf2(?:-sha[0-9]+)?|apr1|sm3|gy)\$[\w.\\/+=,$-]{10}|pbkdf2_sha[0-9]",
    ),
    Shape("vendor_token", _as_one(tuple(pattern for pattern, _ in _VENDORS)), "|".join(hint for _, hint in _VENDORS)),
)
