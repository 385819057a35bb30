"""Envelopes: what is encoded is decoded, what is none is refused, and what only the spool needs does not leave it."""

from __future__ import annotations

import pytest

from agent.issues.envelope.format import Envelope, EnvelopeError, EnvelopeItem, decode, dump, encode, json_item, make, relabel, seal


def test_there_and_back():
    """Payloads of any bytes, newlines and nothing included, come back as they were."""
    items = [
        EnvelopeItem("attachment", b"\n\x00\xff\n{}\n", {"filename": "a b"}),
        EnvelopeItem("attachment", b""),
        json_item("event", {"message": "é\n"}),
    ]
    data = make(items, service="s", event_id="1" * 32)
    back = decode(data)
    assert [(one.type, one.body) for one in back.items] == [(one.type, one.body) for one in items]
    assert back.items[0].headers == {"filename": "a b"}
    assert back.service == "s"
    assert encode(back) == data


def test_an_item_without_a_length():
    """An item whose header tells no length ends at the newline."""
    (item,) = decode(b'{}\n{"type":"session"}\n{"a":1}').items
    assert item.json() == {"a": 1}


@pytest.mark.parametrize("data", [b"", b"x", b"[]", b'{}\n{"type":"event","length":99}\nshort', b"{}\nnonsense\n", b"\xff\n"])
def test_no_envelope(data):
    """Bytes that are cut off or not JSON are refused."""
    with pytest.raises(EnvelopeError):
        decode(data)


def test_sealing():
    """A sealed envelope has the time of sending and not the agent's own header; the stored bytes are the same every time."""
    envelope = decode(make([EnvelopeItem("event", b"{}")], service="s", event_id="1" * 32))
    assert seal(envelope, "2026-01-01T00:00:00Z").headers == {"event_id": "1" * 32, "sent_at": "2026-01-01T00:00:00Z"}
    assert make([EnvelopeItem("event", b"{}")], service="s") == make([EnvelopeItem("event", b"{}")], service="s")


def test_relabelling():
    """Release and environment get into events, check-ins and the attributes of sessions, and nowhere else."""
    items = [json_item("event", {"release": "a"}), json_item("session", {"attrs": {"release": "a"}}), EnvelopeItem("attachment", b"x")]
    changed = relabel(Envelope({}, items), "b", "")
    assert [item.json() for item in changed.items[:2]] == [{"release": "b"}, {"attrs": {"release": "b"}}]
    assert changed.items[2].body == b"x"
    assert relabel(Envelope({}, items), "", "").items == items


def test_whatever_a_record_holds():
    """Lone surrogates, bytes, huge numbers and NaN don't stop an event."""
    value = {"a": "\ud800", "b": b"\xff", "c": 1 << 70, "d": [float("nan"), {"e": "\udcff"}], "f": None}
    assert EnvelopeItem("event", dump(value)).json()["c"] == str(1 << 70)
    assert b"null" in dump(value)
