r"""Where running text names a secret: `password=…`, `"api_key": "…"`, `<password>…</password>`, `--token …`, "the password is …".

Each pattern has the key as its first group and the value as the last group that takes part; what stands around both is left. None crosses the
end of a line. Names may be coloured (`\x1b[36mpassword\x1b[0m=`), percent-encoded (`%22token%22%3A`) or written with backslashes (`\"token\":`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.redact.names import ANYWHERE, CODES, DOUBTFUL, FOREIGN, GAP, NAMES


class Named(NamedTuple):
    """One way to name a secret, and how sure its name must be."""

    pattern: str
    least: int = 0
    """0: the key decides. Otherwise the value must look like a secret of at least so many letters."""
    prose: bool = False
    """The key is a word of a sentence: `the password is …`."""
    quoted: bool = False
    """The value stands in quotes, though the pattern takes only what is between them."""
    further: bool = False
    """The value is the words behind one that has been taken out."""


_COLOUR: Final = r"(?:(?:\x1b|\\u001b|\\x1b|\\033|\\e|\^\[|#033)\[[\d;]*m)"
_OPEN: Final = r"(?:%(?:25)*22)?"
_BLANK: Final = rf"(?:[ \t]|{_COLOUR})*"
_SEPARATOR: Final = rf"""{_BLANK}(?:\\*["'`”»」]|%(?:25)*22)?\]?{_BLANK}(?:[=-]>|→|:=|=:|[=:\x{{FF1A}}\x{{FF1D}}]|%(?:25)*3[ad]){_BLANK}"""
_WRAPPER: Final = r"(?:[fbru]{1,2}|[\w.]*(?:some|just|ok|secret\w*|password|\w*str|b64)\([ \t]*b?|string\(\d+\)[ \t]*|n)?"
"""The text that may precede a quote: the prefix of a literal, a type that wraps a secret."""
_QUOTED: Final = (
    r"""\\{2,}["']([^"'\\\n]*)|\\"((?:[^"\\\n]|(?:\\\\)+[^"\\\n]|(?:\\\\)+\\")*)|\\'([^'\\\n]*)"""
    rf"""|{_WRAPPER}(?:"((?:[^"\\\n]|\\.)*)|'((?:[^'\\\n]|\\.)*))|[“„«「『`]([^”“»」』`\n]*)"""
)
_BARE: Final = (
    r"""[\[({]?((?:(?:basic|bearer|token|digest|negotiate|apikey|bot|splunk|ssws)[ \t]+)?"""
    r"""(?:[^\s"',;&)}\]>%\x1b\x00\\]|\\[^\s"'nruxe0]|%[013-9a-f][0-9a-f]|%2[013-57-9abdef]|%[^\x00-/0-9a-f]|%[0-9a-f][g-z])+)"""
)
_BRACED: Final = r"""(\{(?:[^{}"'\n:]|\}\})*\})"""
_VALUE: Final = rf"""(?:{_QUOTED}|{_OPEN}(?:{_BRACED}|{_BARE}))"""
_ANY_QUOTE: Final = r"""(?:\\*["']|[“„«「『`])"""


_KEY: Final = "\ue000"
"""Stands for the pattern of a name that names a secret."""
_ITEM: Final = r"""[bu]?(?:"[^"\n]*"|'[^'\n]*')"""
_NAME: Final = r"[\w\x80-\x{10FFFF}][\w\x80-\x{10FFFF}.-]*"


def _spaced(word: str) -> str:
    """A word of several, however they are put together in running text."""
    return word.replace("_", "[ _.-]?")


def _key(more: tuple[str, ...]) -> str:
    names = "|".join((*NAMES, *map(_spaced, FOREIGN), *more)).replace(GAP, "[ _.-]{0,2}")
    doubtful = "|".join(DOUBTFUL)
    return rf"([\w\x80-\x{{10FFFF}}.-]*(?:{names})[\w\x80-\x{{10FFFF}}.-]*|\b(?:2[26]|3f|u0026|[nrt]|[\d;]*m)?(?:[\w.-]*[_.-])?(?:{doubtful})(?:[_-]256)?)"


_PASSWORD: Final = rf"(?:pass(?:word|phrase|code|wd)|pwd|{'|'.join(map(_spaced, FOREIGN))})"
_RUN_TOGETHER: Final = "|".join(map(_spaced, ANYWHERE))
_THING: Final = (
    rf"(?:[\w-]+[ _-])?(?:{_PASSWORD}|pin(?:[ -]code)?|secret(?:[ -]key)?|token|(?:api|access|private|secret)[ _-]?key|credentials?)"
)
_OF: Final = r"""(?:[ \t]+(?:for|of|de|del|do|für|von|pour|для|от)[ \t]+(?:(?:the|user|account|key|file|host|role)[ \t]+)*[\w\x80-\x{10FFFF}@.+"'%/~-]+(?:[ \t]+(?:user|account|role|login|database|server|host))?(?:[ \t]*\([^()\n]{0,120}\))?)"""
_VERB: Final = (
    r"(?:[ \t]+(?:has been |was |is |been )?(?:now |temporarily )?(?:(?:re)?set|changed|updated|rotated)[ \t]+to|[ \t]+is generated for[ \t]+\S+"
    r"|[ \t]+(?:is |was )?(?:now|currently|still)|[ \t]+(?:is|was|will be|lautet|ist|est|es|é|è|är|er|on|является))(?:[ \t]*[:=\x{FF1A}][ \t]*|[ \t]+)"
)
_WORD: Final = (
    r"""(?:[“"'`«「『]([^”"'`»」』\n]+)|([^\s"'`“”«»「」()<>,;]*[^\s"'`“”«»「」()<>,;.:!?]|[^\s"'“”()<>]{8,}[^\s"'“”()<>,;.:?]))"""
)


_TABLE: Final = (
    # a header with cookies, or with parameters of a signature, goes to its end
    Named(rf"""(?i)\b((?:set-)?cookie)(?:{_SEPARATOR})\\*["']?([^\r\n"'\\]+)"""),
    Named(
        rf"""(?i)\b((?:proxy-)?authorization)(?:{_SEPARATOR})\\*["']?((?:AWS4-[\w-]+|[a-z]\w*)[ \t]+(?:[\w-]+=(?:\\*"[^"\\\n]*\\*"|[^\s,"'\\]+))(?:,[ \t]*[\w-]+=(?:\\*"[^"\\\n]*\\*"|[^\s,"'\\]+))*)"""
    ),
    Named(rf"""(?i)\b(_?auth(?:orization)?)(?:{_SEPARATOR})\\*["']?(?:sharedkey(?:lite)?|hmac\w*|aws)[ \t]+[\w.-]+:([\w+/=%-]+)"""),
    Named(
        r"""(?i)\b(mnemonic|(?:seed|recovery)[ _-]?phrase)\\*["']?[ \t]*(?:[:=]|is|was)?[ \t]*\\*["']?((?:[a-z]{3,8}[ ,]+){11,23}[a-z]{3,8})"""
    ),
    # a connection string: up to the semicolon
    Named(rf"""(?i)\b({_PASSWORD})=([^\s;"'(){{}}]+(?:[ \t]+[^\s;"'=(){{}}]+)+);"""),
    Named(rf"(?i){_KEY}{_SEPARATOR}{_VALUE}"),
    Named(rf"(?i){_KEY}[ \t]+\d{{1,2}}:[ \t]*(\S{{8,}})", least=8),
    Named(rf"(?i)\b((?:\w+\.)*{_PASSWORD})\.{{3,}}([^\s.]\S*)"),
    # a list of them, as forms are printed: `{'password': ['…']}`
    Named(rf"""(?i){_KEY}{_SEPARATOR}[\[(]{{1,2}}[ \t]*[bu]?(?:"([^"\n]*)"|'([^'\n]*)')[ \t]*,?[ \t]*[\])]"""),
    Named(rf"""(?i){_KEY}{_SEPARATOR}[\[(]{{1,2}}[ \t]*({_ITEM}(?:[ \t]*,[ \t]*{_ITEM})+)[ \t]*,?[ \t]*[\])]""", quoted=True),
    # what it was and what it is: `password: "old" => "new"`
    Named(rf"""(?i){_KEY}{_SEPARATOR}(?:"[^"\n]*"|'[^'\n]*'|\[REDACTED\])[ \t]*(?:[=-]>|→)[ \t]*(?:"([^"\n]+)|'([^'\n]+))"""),
    Named(rf"""(?i){_KEY}\\*["'`]?[ \t]+(?:with |has |had |the |and |of |to )*(?:value|val)[ \t]*[:=]?[ \t]*\\*["'`]([^"'`\\\n]+)"""),
    # words of a passphrase without quotes
    Named(
        rf"""(?im)(?:^|[\s,;(])((?:[\w.-]+[_.-])?{_PASSWORD})[ \t]*[=:][ \t]*\[REDACTED\][ \t]+([^\s=:,;&|"'()\[\]{{}}<>]+(?:[ \t]+[^\s=:,;&|"'()\[\]{{}}<>]+){{0,5}}?)(?:[ \t]+[\w.-]+=|[ \t]*$)""",
        further=True,
    ),
    # an annotated name of a program
    Named(rf"""(?i)({_NAME})[ \t]*:[ \t]*[\w.\[\], |]+[ \t]*=[ \t]*[fbru]?(?:"([^"\n]*)|'([^'\n]*))"""),
    Named(rf"""(?i)(?:^|[\s"'=,(\[])(--?{_NAME})[ \t]+(?:"([^"\n]*)|'([^'\n]*)|([^\s\])}}-][^\s\])}}]*))"""),
    Named(
        rf"""(?i)(--{_NAME})\\*["'][ \t]*,[ \t]*(?:\\+["']([^"'\\\n-][^"'\\\n]*)|b?"((?:[^"\\\n-]|\\.)(?:[^"\\\n]|\\.)*)|b?'((?:[^'\\\n-]|\\.)(?:[^'\\\n]|\\.)*))"""
    ),
    # <password>…</password>, also with < and > as entities or escapes
    Named(rf"(?i)<(?:[\w.-]+:)?({_NAME})(?:[ \t][^<>\n]*)?>(?:<!\[CDATA\[)?([^<>\n\]]+)(?:\]\]>)?<\\*/"),
    Named(rf"(?i)(?:&lt;|\\u003c)({_NAME})(?:&gt;|\\u003e)([^<>&\\\n]+)(?:&lt;|\\u003c)\\*/"),
    # {"name": "DB_PASSWORD", "value": "…"}, <entry key="password">…</entry>
    Named(
        rf"""(?i)\\*["']?\b(?:name|key|field|parameter|header)\\*["']?[ \t]*(?:=>|[:=])[ \t]*\\*["']?({_NAME})\\*["']?[ \t]*[,;]?[ \t]*\\*["']?(?:value|val|content)\\*["']?[ \t]*(?:=>|[:=])[ \t]*"""
        rf"""{_VALUE}"""
    ),
    Named(rf"""(?i)\b(?:key|name|id)=\\*["']({_NAME})\\*["'][^<>\n]*>[ \t]*(?:<value>|<!\[CDATA\[)?([^<\n\]]+)(?:\]\]>)?</"""),
    Named(rf"""(?i)<key>({_NAME})</key>[ \t]*<string>([^<\n]+)<"""),
    Named(rf"""(?i)[(\[][ \t]*b?{_ANY_QUOTE}({_NAME}){_ANY_QUOTE}[ \t]*,[ \t]*b?{_ANY_QUOTE}([^"'\\\n]+)""", least=6),
    # headers one after another in a list
    Named(
        rf"""(?i){_ANY_QUOTE}((?:proxy-)?authorization|(?:set-)?cookie){_ANY_QUOTE}[ \t]*,[ \t]*b?{_ANY_QUOTE}((?:basic|bearer|token|digest|negotiate|apikey)[ \t]+[^"'\\\n]+|[^"'\\\s=]+=[^"'\\\n]+)"""
    ),
    Named(rf"""(?i){_ANY_QUOTE}(x-{_NAME}){_ANY_QUOTE}[ \t]*,[ \t]*b?{_ANY_QUOTE}([^"'\\\n]+)""", least=6),
    Named(rf"""(?i)\bdefine\([ \t]*{_ANY_QUOTE}({_NAME}){_ANY_QUOTE}[ \t]*,[ \t]*{_ANY_QUOTE}([^"'\\\n]+)""", quoted=True),
    # a row of a table
    Named(rf"(?:^|[|│┃])[ \t]*({_NAME})[ \t]*[|│┃][ \t]*([^|│┃\s]+)[ \t]*[|│┃]", least=6),
    # SQL
    Named(r"(?i)=[ \t]*(?:old_)?(password)\([ \t]*'([^'\n]+)", prose=True, quoted=True),
    Named(r"(?i)\b(identified)[ \t]+(?:by|with[ \t]+\S+[ \t]+(?:by|as))[ \t]+(?:password[ \t]+)?'([^'\n]+)", prose=True, quoted=True),
    Named(r"(?i)\b(password)[ \t]+'([^'\n]+)", prose=True, quoted=True),
    # .netrc
    Named(r"(?i)\blogin[ \t]+\S+[ \t]+(password)[ \t]+(\S+)", prose=True),
    # one-time codes
    Named(
        rf"(?i)\b(pin(?:[ _-]?code)?|otp|passcode|{CODES}[ _-]?(?:code|pin))(?:{_OF})?(?:{_VERB}|[ \t]*[:=\x{{FF1A}}][ \t]*)(\d{{4,8}})\b",
        prose=True,
    ),
    # a name and its password: `credentials: bob / …`
    Named(
        r"(?i)\b(credentials?|creds|user(?:name)?[ /]+pass(?:word)?)[ \t]*[:=(][ \t]*(?:[\w.@+-]+|\[REDACTED\])(?:[ \t]*[/|][ \t]*|:)([^\s,;()]+)",
        prose=True,
    ),
    # a protocol's own words
    Named(r"(?m)(?:^|[>:\])])[ \t]*(PASS)[ \t]+(\S+)[ \t\r]*$", least=6),
    Named(r"\b(AUTH)[ \t]+(?:LOGIN|PLAIN|XOAUTH2)[ \t]+([\w+/]{8,}=*)", least=8),
    # sentences
    Named(
        rf"(?i)\b(?:following|generated|initial|temporary|default|this)[ \t]+(?:\w+[ \t]+)?({_PASSWORD})\b[^\n:=]{{0,60}}:[ \t]*(\S{{6,}})",
        least=6,
    ),
    Named(rf"(?i)\b({_PASSWORD})[ \t]+to[ \t]+\w+[^\n:=]{{0,40}}:[ \t]*(\S{{6,}})", least=6),
    Named(rf"(?i)\b({_THING}){_OF}?{_VERB}{_WORD}", prose=True),
    Named(rf"(?i)\b({_THING}){_OF}?[ \t]+to[ \t]+{_WORD}", least=5),
    Named(
        rf"(?i)\b({_THING})[ \t]+(?:(?:was|is|has been|now)[ \t]+)*(?:(?:re)?(?:generated|created|issued|set)|added|changed|updated|rotated)[ \t]*[:=][ \t]*{_WORD}",
        prose=True,
    ),
    Named(rf"""(?i)\b({_THING})[ \t]+[“"'`(]?([^\s"'`“”<>(),;]*[^\s"'`“”<>(),;.:?])""", least=8),
    Named(rf"(?i)\b({_THING}){_OF}[ \t]*[:=\x{{FF1A}}][ \t]*{_WORD}", prose=True),
    Named(rf"""(?i)\b({_PASSWORD})(?:[ \t]*[|][ \t]*|[ \t]+-[ \t]+|[ \t]+)[“"`«「『]([^”"`»」』\n]+)""", prose=True, quoted=True),
    Named(
        rf"(?i)((?:{_RUN_TOGETHER})[\w\x80-\x{{FFFF}}]*?){_OF}?(?:[ \t]+[^\s:=]+)?(?:[ \t]*[:\x{{FF1A}}=]|[ \t]*[はが是为為는은])[ \t]*[「『“]?([!-~]+)",
        prose=True,
    ),
    Named(rf"""(?i){_KEY}(?:[ \t]+for[ \t]+\S+)?[ \t]+[“"'`(]{{0,2}}([^\s"'`“”<>(),;]*[^\s"'`“”<>(),;.:?])""", least=8),
    Named(rf"""(?i)\b({_PASSWORD})(?:[ \t]*[|][ \t]*|[ \t]+-[ \t]+|[ \t]+)[“"'`(]?([^\s"'`“”<>(),;]*[^\s"'`“”<>(),;.:?])""", least=6),
)
"""In the order to look for them."""


def patterns(more: tuple[str, ...] = ()) -> tuple[Named, ...]:
    """All ways, in the order to look for them; `more` are further names as they stand in bytes."""
    key = _key(more)
    return tuple(one._replace(pattern=one.pattern.replace(_KEY, key)) for one in _TABLE)
