"""What a batch leads to, and the one place where that becomes what is known: when the batch is stored.

A batch may be judged several times before the spool takes it, or never be stored. Until then nothing but the findings themselves changes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from agent.issues.reading.exit_causes import LastWords, words_of
from agent.issues.source_states import ENDS

if TYPE_CHECKING:
    from agent.issues.event.error_event import ErrorEvent
    from agent.issues.folding.windows import Draft
    from agent.issues.runs.run import Run
    from agent.issues.source_states import Known
    from agent.record import LogRecord, Payload


@dataclass(slots=True)
class Findings:
    """What a batch leads to, before it is stored."""

    source: str
    own: Known
    """Of the source."""
    speaker: Known
    """Of who has most likely made its errors: the wrapped command, or the observed target."""
    draft: Draft
    payloads: list[Payload] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Errors by what became of them."""
    failures: list[str] = field(default_factory=list)
    """Of records that could not be looked at, what went wrong."""
    runs: dict[str, Run | None] = field(default_factory=dict)
    """Begun ones, and those that are over."""
    ends: list[int] | None = None
    """All that are known now, if there is another."""
    errors: int = 0
    """That count in the speaker's runs."""
    _words: LastWords = field(default_factory=LastWords)
    _over: bool = False
    """Whether an end has come that takes all earlier words with it."""

    def hear(self, record: LogRecord, event: ErrorEvent) -> None:
        """Count an error that somebody has made, and note whether it sounds like last words."""
        if not event.mechanism.own:
            self.errors += 1
            self._words = self._words.then(words_of(record, event))

    def keep_for_the_end(self, event: ErrorEvent) -> None:
        """Tell of a death only when it is over."""
        self._words = self._words.then(LastWords(untold=event))

    def last_words(self) -> LastWords:
        """What was said before an end; nothing of it was said before the next."""
        said = self._words if self._over else self.speaker.words.then(self._words)
        self._words, self._over = LastWords(), True
        return said

    def run(self, place: str) -> Run | None:
        """A run that is not over; one that says nothing begins and ends in one batch."""
        run = self.runs[place] if place in self.runs else self.own.runs.get(place)
        return None if run is None else run.with_more(self.errors)

    def positions(self) -> dict[str, bytes | None]:
        """What to store."""
        made = self.draft.positions()
        made |= {place: None if run is None else run.with_more(self.errors).dump() for place, run in self.runs.items()}
        return made if self.ends is None else made | {ENDS: orjson.dumps(self.ends)}

    def apply(self) -> None:
        """It is stored."""
        self.draft.commit()
        own, speaker = self.own, self.speaker
        own.runs = {place: run for place, run in (own.runs | self.runs).items() if run is not None}
        own.ends = own.ends if self.ends is None else self.ends
        speaker.words = (LastWords() if self._over else speaker.words).then(self._words)
        if self.errors:
            speaker.grow(self.errors)
