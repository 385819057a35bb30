"""The order desk, with a broker that answers from a script."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from strategy_agent import desk as module
from strategy_agent.brokers.client import Broker, BrokerError, BrokerRegistry
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.model import Ack, Fill, Order, Side
from strategy_agent.outlets import Metrics, Outlets
from strategy_agent.sizing import Holding
from tests.support import RecordingEvents, eventually

ORDER = Order("BTC-USD-1", "BTC-USD", Side.BUY, 2.0)
Spans = tuple[TracerProvider, InMemorySpanExporter]


class ScriptedBroker(Broker):
    """Answers submissions with the reasons of its script, then acknowledges."""

    def __init__(self, session: aiohttp.ClientSession, *script: str, name: str = "alpha") -> None:
        super().__init__(name, "http://nowhere", session)
        self.script = list(script)
        self.submitted: list[Order] = []
        self.cancelled: list[str] = []
        self.cancellable = True
        self.hang = False

    async def submit(self, order: Order) -> Ack:
        """Play the next answer."""
        self.submitted.append(order)
        if self.hang:
            await asyncio.Event().wait()
        if self.script:
            raise BrokerError(self.name, self.script.pop(0))
        return Ack(order.client_order_id, "alpha-1")

    async def cancel(self, client_order_id: str) -> bool:
        """Play the next answer; then say whether it was in time."""
        self.cancelled.append(client_order_id)
        if self.script:
            raise BrokerError(self.name, self.script.pop(0))
        return self.cancellable


class Begun(SpanProcessor):
    """Keeps the names of spans that were begun."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Keep the name."""
        self.names.append(span.name)


class Rig:
    """A desk with everything around it."""

    def __init__(self, client: ScriptedBroker, spans: Spans) -> None:
        self.client = client
        self.registry = BrokerRegistry()
        self.registry.register(client)
        self.account = Account()
        self.metrics = Metrics(("BTC-USD",))
        self.events = RecordingEvents()
        self.provider, self.exporter = spans
        outlets = Outlets(self.metrics, self.events, self.provider.get_tracer("t"))
        self.desk = OrderDesk(self.registry, self.account, outlets)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"strategy_{name}", labels)

    def span(self, name: str) -> ReadableSpan:
        """Return the finished span of this name."""
        return next(span for span in self.exporter.get_finished_spans() if span.name == name)

    async def acknowledged(self) -> None:
        """Wait for the acknowledgement, or the end."""
        await eventually(lambda: bool(self.events.published), "an answer from the broker")

    async def over(self) -> None:
        """Wait for the end of every order's life."""
        await eventually(lambda: not self.desk._tasks, "the end of the order")


def fill() -> Fill:
    """Return the fill of the order."""
    return Fill(ORDER.client_order_id, ORDER.symbol, ORDER.side, ORDER.quantity, 100.0)


@pytest.fixture
def make_rig(session: aiohttp.ClientSession, spans: Spans) -> Callable[..., Rig]:
    """Return a maker of rigs whose broker follows a script."""
    return lambda *script: Rig(ScriptedBroker(session, *script), spans)


async def test_an_order_lives_until_its_fill(make_rig: Callable[..., Rig]) -> None:
    """Submitted, acknowledged, filled: only then is it done, booked and its spans are ended."""
    rig = make_rig()
    rig.desk.submit(ORDER)
    await rig.acknowledged()
    assert rig.desk.in_flight == 1
    await rig.desk.on_fill("alpha", fill())
    assert (rig.desk.in_flight, rig.account.position("BTC-USD")) == (0, 2.0)
    assert rig.events.kinds() == ["order", "fill"]
    await rig.over()
    assert rig.value("submit_to_ack_seconds_count") == rig.value("ack_to_fill_seconds_count") == 1


async def test_the_spans_of_an_order_form_one_trace(make_rig: Callable[..., Rig]) -> None:
    """Submission and fill are children of the order, which carries its id and its broker."""
    rig = make_rig()
    rig.desk.submit(ORDER)
    await rig.acknowledged()
    await rig.desk.on_fill("alpha", fill())
    await rig.over()
    order = rig.span("order")
    assert order.attributes is not None
    assert (order.attributes["order.client_order_id"], order.attributes["broker.name"]) == ("BTC-USD-1", "alpha")
    for child in ("order.submit", "order.fill"):
        parent = rig.span(child).parent
        assert parent is not None
        assert order.context is not None
        assert parent.span_id == order.context.span_id


@pytest.mark.parametrize("reason", ["insufficient_margin", "rate_limited", "timeout"])
async def test_a_refusal_ends_the_order(make_rig: Callable[..., Rig], reason: str) -> None:
    """A refusal is final: counted by reason, published, and the order's span is marked as failed."""
    rig = make_rig(reason)
    rig.desk.submit(ORDER)
    await rig.acknowledged()
    assert rig.desk.in_flight == 0
    assert rig.client.submitted == [ORDER]
    assert rig.value("rejects_total", broker="alpha", reason=reason) == 1
    assert rig.events.published[0][1]["state"] == "rejected"
    await rig.over()
    assert rig.span("order").status.status_code is StatusCode.ERROR
    assert rig.registry["alpha"].up


async def test_a_broker_that_does_not_answer_is_avoided(make_rig: Callable[..., Rig]) -> None:
    """The next order goes to another broker, although the streams have not noticed anything yet."""
    rig = make_rig("unreachable")
    rig.registry.register(ScriptedBroker(rig.client._session, name="beta"))
    rig.desk.submit(ORDER)
    await rig.acknowledged()
    assert rig.registry["alpha"].up
    assert rig.registry.select().name == "beta"


async def test_a_fill_of_an_unknown_order_is_booked_all_the_same(make_rig: Callable[..., Rig]) -> None:
    """The money has moved, whether or not the desk remembers the order."""
    rig = make_rig()
    await rig.desk.on_fill("alpha", fill())
    assert rig.account.position("BTC-USD") == 2.0


async def test_a_fill_may_overtake_its_acknowledgement(make_rig: Callable[..., Rig]) -> None:
    """If the fill comes first, the order is done; the late answer revives nothing and begins no span."""
    rig = make_rig()
    rig.provider.add_span_processor(begun := Begun())
    rig.desk.submit(ORDER)
    await rig.desk.on_fill("alpha", fill())
    await eventually(lambda: "order" in rig.events.kinds(), "the acknowledgement")
    await rig.over()
    assert rig.desk.in_flight == 0
    assert begun.names == ["order", "order.submit"]
    assert {span.name for span in rig.exporter.get_finished_spans()} == set(begun.names)


async def test_an_order_without_a_fill_expires(make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the deadline an order is waited for, after it it is given up and counted."""
    monkeypatch.setattr(module, "FILL_DEADLINE", 0.1)
    rig = make_rig()
    submitted = time.monotonic()
    rig.desk.submit(ORDER)
    await rig.acknowledged()
    assert rig.desk.in_flight == 1
    await eventually(lambda: rig.desk.in_flight == 0, "the deadline")
    assert time.monotonic() - submitted >= 0.1
    assert rig.value("rejects_total", broker="alpha", reason="fill_timeout") == 1
    await rig.over()
    assert rig.span("order").status.status_code is StatusCode.ERROR


async def test_a_fill_without_an_answer_finishes_the_order(make_rig: Callable[..., Rig]) -> None:
    """An order that was filled is not rejected because the answer to its submission was lost."""
    rig = make_rig("unreachable")
    rig.desk.submit(ORDER)
    await rig.desk.on_fill("alpha", fill())
    await rig.over()
    assert rig.value("rejects_total", broker="alpha", reason="unreachable") is None
    assert rig.span("order").status.status_code is StatusCode.UNSET


async def test_closing_accounts_for_what_hangs(make_rig: Callable[..., Rig]) -> None:
    """A submission that never returns is cancelled, counted as shut down, and leaves no task."""
    rig = make_rig()
    rig.client.hang = True
    rig.desk.submit(ORDER)
    await eventually(lambda: bool(rig.client.submitted), "the submission")
    await rig.desk.close()
    assert rig.desk.in_flight == 0
    assert rig.value("rejects_total", broker="alpha", reason="shutdown") == 1


async def test_closing_accounts_for_what_has_not_begun(make_rig: Callable[..., Rig]) -> None:
    """An order submitted in the last moment is counted as shut down, too."""
    rig = make_rig()
    rig.client.hang = True
    rig.desk.submit(ORDER)
    await rig.desk.close()
    assert rig.desk.in_flight == 0
    assert rig.value("rejects_total", broker="alpha", reason="shutdown") == 1


async def test_an_order_of_which_nothing_is_known_is_withdrawn(make_rig: Callable[..., Rig]) -> None:
    """Without a certain answer it may be filled: it is in flight until the broker says that it is cancelled."""
    rig = make_rig("timeout", "unreachable", "unreachable")
    rig.desk.submit(ORDER)
    assert rig.desk.holding("BTC-USD") == Holding(0.0, 2.0, 0.0)
    await rig.over()
    assert rig.client.cancelled == [ORDER.client_order_id] * 3
    assert rig.value("rejects_total", broker="alpha", reason="timeout") == 1
    assert rig.desk.holding("BTC-USD") == Holding()


async def test_an_order_that_was_filled_before_it_could_be_cancelled_stays_in_flight(
    make_rig: Callable[..., Rig],
) -> None:
    """Its fill is on the way, and counts until it comes."""
    rig = make_rig("timeout")
    rig.client.cancellable = False
    rig.desk.submit(ORDER)
    await rig.over()
    assert rig.desk.holding("BTC-USD").buying == 2.0
    await rig.desk.on_fill("alpha", fill())
    assert rig.desk.holding("BTC-USD") == Holding(2.0)
    assert rig.value("rejects_total", broker="alpha", reason="timeout") is None


async def test_orders_in_flight_are_recalled(make_rig: Callable[..., Rig]) -> None:
    """Those of the symbol, or all: each is cancelled at its broker and counted with the reason."""
    rig = make_rig()
    other = Order("ETH-USD-1", "ETH-USD", Side.SELL, 1.0)
    rig.desk.submit(ORDER)
    rig.desk.submit(other)
    await eventually(lambda: len(rig.events.published) == 2, "both acknowledgements")
    rig.desk.recall("halted", "ETH-USD")
    await eventually(lambda: rig.desk.in_flight == 1, "the recall of one symbol")
    rig.desk.recall("kill_switch")
    await rig.over()
    assert rig.client.cancelled == [other.client_order_id, ORDER.client_order_id]
    assert rig.value("rejects_total", broker="alpha", reason="halted") == 1
    assert rig.value("rejects_total", broker="alpha", reason="kill_switch") == 1
    assert rig.value("ack_to_fill_seconds_count") == 0


async def test_gross_exposure_is_that_of_the_worst_case(make_rig: Callable[..., Rig]) -> None:
    """A position of 3 and an order to sell 10 can become 7 short, at the last mark."""
    rig = make_rig()
    rig.client.hang = True
    rig.account.book(Fill("x", "BTC-USD", Side.BUY, 3.0, 100.0))
    rig.desk.submit(Order("y", "BTC-USD", Side.SELL, 10.0))
    assert rig.desk.gross == 700.0
    await rig.desk.close()
