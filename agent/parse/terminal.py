r"""Terminal control inside a line: what a terminal shows of it. Colours, links and moves of the cursor are not content.

CSI and two-letter sequences, and strings (OSC: titles, the links of OSC 8) are taken out, a backspace takes the character before it (ECMA-48,
ISO/IEC 6429). A carriage return begins the line again (progress bars): `overwritten` separates the text before from the text that remains.
"""

from __future__ import annotations

import re
from typing import Final

_SEQUENCE: Final = re.compile(
    "\x1b(?:\\[[0-?]{0,64}[ -/]{0,4}[@-~]|[\\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\\\)|[ -/]{1,3}[0-~]|[@-Z\\\\^_`-~=>0-9])"
)
_LEADING: Final = re.compile(rb"(?:\x1b\[[0-?]{0,64}[ -/]{0,4}[@-~]){1,16}")
_BAR_END: Final = re.compile(rb"(?:it|s|[kMG]?i?B|[a-z]{2,10})/(?:s|it|[a-z]{2,10})[^\]\r\n]{0,80}\](?=[\[0-9A-Z{])")
"""The end of tqdm's progress bar, and something right behind it that is not the bar's."""
_TQDM: Final = r"[^|\r\n]{0,64}\d{1,3}%\|[^|]{0,1000}\| [^\[]{0,64}\[[^\]]{0,128}\]\s{0,8}$"
_DRAWN: Final = (
    r"\s{0,8}[━╸╺]{4}|\s{0,8}-{16,120} \d|\s{0,8}\|[█▏▎▍▌▋▊▉ ]{8,120}\|"  # pip
    r"|\s{0,8}\d{1,9}/(?:\d{1,9}|Unknown) {1,4}(?:\[[=>.]|━)"  # Keras
    r"|[^\[\r\n]{0,64}\[(?:=[=-]{0,120}>[ .-]{0,120}|#{1,120}[ .-]{1,120})\]"  # wget, Docker, rsync
    r"|[\d .kMG]{20,80}(?: (?:--|\d\d?):(?:--|\d\d):(?:--|\d\d)){3} {1,6}[\d.]{1,8}[kMG]?$"  # curl
)
_BAR: Final = re.compile(rf"[^\r\n]{{0,64}}?\d{{1,3}}%|[^\r\n]{{0,64}}?\d{{1,18}}(?:it|B) \[\d\d:\d\d, |{_DRAWN}")
_ALONE: Final = re.compile(rf"{_TQDM}|(?:{_DRAWN})[^\r\n]{{0,400}}$")
"""A bar that is shown once."""


def clean(text: str) -> str:
    """The text without terminal control; a text that has none is returned itself."""
    if "\x1b" not in text and "\b" not in text:
        return text
    text = _SEQUENCE.sub("", text)
    return _backspaced(text) if "\b" in text else text


def _backspaced(text: str) -> str:
    shown: list[str] = []
    for character in text:
        if character != "\b":
            shown.append(character)
        elif shown:
            shown.pop()
    return "".join(shown)


def overwritten(line: bytes) -> int:
    """Where the part of a line begins that a terminal shows at last: behind the last carriage return, or behind a progress bar; 0: at its start."""
    if b"\r" not in line and b"%|" not in line:
        return 0
    at = line.rfind(b"\r", 0, len(line.rstrip(b"\r"))) + 1
    if b"%|" in line[at:] or b"it [" in line[at:]:
        ends = [match.end() for match in _BAR_END.finditer(line, at)]
        at = ends[-1] if ends else at
    return at


def is_progress(line: bytes) -> bool:
    """Whether the line is a progress bar, in all that was shown of it."""
    shown = [clean(part.decode("utf-8", "replace")) for part in line.split(b"\r") if part.strip()]
    if not shown or (len(shown) == 1 and line[:1] != b"\r" and _ALONE.match(shown[0]) is None):
        return False
    return _BAR.match(shown[0]) is not None and _BAR.match(shown[-1]) is not None


def undressed(line: bytes) -> bytes:
    """The line without the sequences before its first character, and without those behind an object that ends it."""
    match = _LEADING.match(line)
    bare = line[match.end() :] if match else line
    end = bare.rfind(b"}") + 1
    return bare[:end] if end and _LEADING.fullmatch(bare, end) else bare
