"""From the tokens of the line grammar to exception values, without recursion: an open box is an entry of a stack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.parse.exceptions import CAUSE, NOT_TRUNCATED, ExceptionInfo, Frame, Truncated
from agent.parse.traceback_tokens import LineKind, Token

if TYPE_CHECKING:
    import re

MAX_LINKS: Final = 50
"""Links of one chain that are kept, the newest; `Truncated.links` counts the others."""
MAX_BOXES: Final = 16
"""Nested boxes that are kept (CPython prints ten); deeper members are counted in `Truncated.exceptions`."""
MAX_HEIGHT: Final = 120
"""Links and boxes on one path of the tree, so that comparing and printing a value stays within the stack."""


def split_type(qualified: str) -> tuple[str | None, str]:
    """Module and class of a printed type name.

    The text does not say where the module ends. The class begins at the function before `<locals>`, or at the first
    capitalised part that is not the whole first part (`app.models.User.DoesNotExist`, but `PIL.ImageError`).
    """
    parts = qualified.split(".")
    cut = len(parts) - 1
    if "<locals>" in parts:
        cut = max(parts.index("<locals>") - 1, 0)
    cut = next((index for index in range(1, cut) if parts[index].lstrip("_")[:1].isupper()), cut)
    return ".".join(parts[:cut]) or None, ".".join(parts[cut:])


@dataclass(slots=True)
class _FrameDraft:
    filename: str
    lineno: int | None
    function: str
    lines: list[str] = field(default_factory=list)
    repeated: int = 0

    def finish(self) -> Frame:
        source = self.lines[0] if self.lines else None
        detail = tuple(self.lines[1:])
        return Frame(self.filename, self.lineno, self.function, source, self.repeated, None, detail)


@dataclass(slots=True)
class _Draft:
    """An exception being read. `separator` stands between the next older one and this.

    `bare` is an exception line without a colon: what follows it can only be notes.
    `loose` is loguru's layout: blank lines around the stack, so that those behind a message are never part of it.
    """

    separator: str
    qualified: str = ""
    message: list[str] = field(default_factory=list)
    blanks: int = 0
    loose: bool = False
    bare: bool = False
    frames: list[_FrameDraft] = field(default_factory=list)
    syntax: _FrameDraft | None = None
    is_group: bool = False
    members: list[ExceptionInfo] = field(default_factory=list)
    height: int = 0
    hidden: int = 0
    limit: int = 0

    def say(self, text: str) -> None:
        self.message += [""] * self.blanks
        self.message.append(text)
        self.blanks = 0

    def take(self, member: ExceptionInfo, height: int) -> None:
        """Add a member of this group, or count it where the tree would grow too high."""
        if height < MAX_HEIGHT:
            self.members.append(member)
            self.height = max(self.height, height)
        else:
            self.hidden += 1

    def location(self) -> _FrameDraft | None:
        return self.syntax or (self.frames[-1] if self.frames else None)

    def finish(self, older: ExceptionInfo | None, links: int) -> ExceptionInfo:
        module, name = split_type(self.qualified)
        caused = self.separator == CAUSE
        bare = self.bare and len(self.message) > 1
        return ExceptionInfo(
            type=name,
            module=module,
            value="" if bare else "\n".join(self.message),
            frames=tuple(frame.finish() for frame in self.frames),
            notes=tuple(self.message[1:]) if bare else (),
            cause=older if caused else None,
            context=None if caused else older,
            group=tuple(self.members),
            is_group=self.is_group,
            syntax=self.syntax.finish() if self.syntax else None,
            truncated=self._truncated(links),
        )

    def _truncated(self, links: int) -> Truncated:
        incomplete = not self.qualified and not self.limit
        if not (self.hidden or links or self.limit or incomplete):
            return NOT_TRUNCATED
        return Truncated(exceptions=self.hidden, links=links, depth_limit=self.limit, incomplete=incomplete)


@dataclass(slots=True)
class _Chain:
    """The exceptions of one box (or of the top level), oldest first."""

    depth: int
    links: list[_Draft]

    def finish(self) -> tuple[ExceptionInfo, int]:
        """The newest exception with the others below it, and the height of that tree."""
        dropped = max(len(self.links) - MAX_LINKS, 0)
        info, height = self.links[dropped].finish(None, dropped), self.links[dropped].height + 1
        for position, draft in enumerate(self.links[dropped + 1 :], dropped + 1):
            older, cut = (info, 0) if height < MAX_HEIGHT else (None, position)
            info = draft.finish(older, cut)
            height = max(height if older else 0, draft.height) + 1
        return info, height


class Builder:
    """Collects the tokens of one traceback; `finish` gives its value, or None if nothing of it was seen."""

    __slots__ = ("_chains", "_skipped")

    def __init__(self) -> None:
        self._chains = [_Chain(0, [_Draft("")])]
        self._skipped = False

    def feed(self, token: Token) -> None:
        """Take the next token."""
        if token.kind in (LineKind.MEMBER, LineKind.CLOSE):
            _keep_blanks(self._chains[-1].links[-1])
        if token.kind is LineKind.MEMBER:
            self._enter(token)
        elif token.kind is LineKind.CLOSE:
            self._leave_to(token.depth)
        elif not (self._skipped and token.depth > MAX_BOXES):
            self._leave_to(max(token.depth, 1))
            self._add(token, self._chains[-1])

    def finish(self, *, keep_blanks: bool = False) -> ExceptionInfo | None:
        """The value. `keep_blanks` counts blank lines at the end to the message (the text is known to be whole)."""
        draft = self._chains[-1].links[-1]
        if keep_blanks:
            _keep_blanks(draft)
        self._leave_to(1)
        links = self._chains[0].links
        if not links[-1].qualified and not links[-1].limit and len(links) > 1 and not links[-1].frames:
            links.pop()
        last = links[-1]
        if not (last.qualified or last.frames or last.members):
            return None
        return self._chains[0].finish()[0]

    def _add(self, token: Token, chain: _Chain) -> None:
        draft = chain.links[-1]
        if token.kind is LineKind.SEPARATOR and len(chain.links) == 1 and _is_placeholder(chain) and not draft.members:
            return  # it stood above what is read here, and in lines of its own
        if token.kind is LineKind.SEPARATOR:
            _end_message(draft)
            chain.links.append(_Draft(token.text))
        elif token.kind is LineKind.BODY:
            _add_line(draft, token.text)
        elif token.kind is LineKind.MESSAGE:
            draft.say(token.text)
        elif token.kind is LineKind.BLANK:
            draft.blanks += 1
        elif token.kind is LineKind.NOISE:
            draft.loose = True
        else:
            _add_matched(draft, token)

    def _enter(self, token: Token) -> None:
        """Open the box of a group's next member."""
        self._leave_to(token.depth - 1)
        parent = self._chains[-1].links[-1]
        parent.is_group = True
        if token.depth > MAX_BOXES:
            parent.hidden += 1 if token.depth == MAX_BOXES + 1 else 0
            self._skipped = True
        else:
            self._chains.append(_Chain(token.depth, [_Draft("")]))

    def _leave_to(self, depth: int) -> None:
        """Finish the boxes deeper than `depth`: each becomes a member of the group around it."""
        while self._chains[-1].depth > depth:
            chain = self._chains.pop()
            parent = self._chains[-1].links[-1]
            if not _is_placeholder(chain):
                member, height = chain.finish()
                parent.take(member, height)
            parent.hidden += chain.links[-1].hidden if _is_placeholder(chain) else 0


def _is_placeholder(chain: _Chain) -> bool:
    """A box that holds "and N more exceptions" (or was cut off before it held anything)."""
    draft = chain.links[-1]
    return len(chain.links) == 1 and not (draft.qualified or draft.limit or draft.frames or draft.syntax)


def _keep_blanks(draft: _Draft) -> None:
    """The message is known to reach up to here, for instance to the border of its box."""
    if draft.message and not draft.loose:
        draft.message += [""] * draft.blanks
        draft.blanks = 0


def _end_message(draft: _Draft) -> None:
    """Before a separator the last blank line is the separator's, the others the message's."""
    if not draft.loose:
        draft.message += [""] * max(draft.blanks - 1, 0)
    draft.blanks = 0


def _add_line(draft: _Draft, text: str) -> None:
    location = draft.location()
    if location is not None:
        location.lines.append(text)


def _add_matched(draft: _Draft, token: Token) -> None:
    """The kinds that carry a match of their pattern."""
    match = token.match
    if token.kind is LineKind.GROUP_HEADER:
        draft.is_group = True
    elif match is None:
        return
    elif token.kind is LineKind.FRAME:
        draft.frames.append(_location(match))
    elif token.kind is LineKind.SYNTAX:
        draft.syntax = _location(match)
    elif token.kind is LineKind.REPEATED and draft.frames:
        draft.frames[-1].repeated = _count(match[1])
    elif token.kind is LineKind.FINAL:
        draft.qualified, draft.message, draft.blanks = match[1], [match[2] or ""], 0
        draft.bare = match[0] == match[1]
    elif token.kind is LineKind.MORE:
        draft.hidden = _count(match[1])
    elif token.kind is LineKind.DEPTH_LIMIT:
        draft.limit, draft.is_group = _count(match[1]), True


def _location(match: re.Match[str]) -> _FrameDraft:
    lineno = None if match[2] == "None" else _count(match[2])
    return _FrameDraft(match[1], lineno, match[3] or "")


def _count(digits: str) -> int:
    """A printed number; absurdly long ones (no interpreter prints them) are cut, since int() refuses them."""
    return int(digits[:18])
