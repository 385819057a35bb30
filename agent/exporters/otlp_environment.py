"""The standard OTLP exporter variables as options of `otlp_http` (OpenTelemetry specification, protocol/exporter.md). Pure.

An empty variable counts as unset. A value that can't be used gives a warning and is left out, as the specification says ("Parsing"): these
variables are the workload's as well, and values for its SDK must not keep the agent from starting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from agent.net.headers import objection
from agent.options import closest, mask_url
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX: Final = "OTEL_EXPORTER_OTLP_"
SIGNALS: Final = (Signal.LOGS, Signal.METRICS, Signal.TRACES)
NO_LIMIT: Final = 2147483.0
"""Seconds for a timeout of 0, which means "no limit" (configuration/common.md, "Timeout")."""

SHOWN: Final = 40
"""Characters of a wrong value that a message shows."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "ENDPOINT": ("endpoint",),
    "HEADERS": ("headers",),
    "TIMEOUT": ("timeout",),
    "COMPRESSION": ("compression",),
    "CERTIFICATE": ("tls", "ca_file"),
    "CLIENT_CERTIFICATE": ("tls", "cert_file"),
    "CLIENT_KEY": ("tls", "key_file"),
}
"""Last part of a variable's name → the option that takes its value."""
HTTP_FIX: Final = "set the endpoint to the HTTP port, usually 4318, as in http://collector:4318"
OTHERS: Final = ("PROTOCOL", "INSECURE", "SPAN_INSECURE", "METRIC_INSECURE")
"""Last parts that are read elsewhere, or that only gRPC has."""
METRICS_ONLY: Final = ("METRICS_TEMPORALITY_PREFERENCE", "METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
MEANINGLESS: Final = (
    "OTEL_BLRP_",
    "OTEL_LOGRECORD_",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_EXPORTER_PROMETHEUS_",
)
"""Beginnings of variables that concern the sent data and are not read here. Variables for an SDK inside the workload (sampler, propagators, spans,
the level of its own log) are not among them."""
OWN_HEADERS: Final = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding", "connection"})
"""Headers that the exporter sets itself."""
DISABLED: Final = "OTEL_SDK_DISABLED"
SELECTORS: Final[Mapping[Signal, str]] = {signal: f"OTEL_{signal.value.upper()}_EXPORTER" for signal in SIGNALS}
"""Signal → the variable that selects its exporters (configuration/sdk-environment-variables.md, "Exporter Selection")."""
_ALSO_MEANT: Final = frozenset({"otlp", "none", "console", "logging", "stdout", "prometheus", "zipkin", "jaeger"})

Options = dict[str, object]
"""Options for the exporter's `Config`. Header values are secrets in the clear."""


class VariableDoubt(NamedTuple):
    """A warning that a variable is not followed. It does not show values that may be secret."""

    variable: str
    message: str
    fix: str


class OtlpVariables(NamedTuple):
    """The content of the variables."""

    options: Options | None
    """None if nothing is sent."""
    variables: Mapping[tuple[str, ...], str]
    """Option → the variable that it came from."""
    doubts: tuple[VariableDoubt, ...]


def read(env: Mapping[str, str]) -> OtlpVariables:
    """Read all variables, also if some are not valid.

    A signal is sent if its own endpoint or the common one is set; traces only with their own, because no source makes any by default.
    """
    given = {name: value.strip() for name, value in env.items() if value.strip()}
    reader = _VariableReader(given)
    reader.scope(PREFIX, ())
    for signal in SIGNALS:
        reader.scope(f"{PREFIX}{signal.value.upper()}_", (signal.value,))
    sendable = [signal for signal in SIGNALS if reader.sends(signal)]
    off = _is_off(given)
    misspelt = tuple(_misspelt(given))
    if off.chosen:
        return OtlpVariables(None, {}, off.doubts if sendable else ())
    choices = {signal: _selection(given, signal, has_endpoint=signal in sendable) for signal in SIGNALS}
    doubts = (*off.doubts, *(doubt for choice in choices.values() for doubt in choice.doubts), *misspelt, *reader.unusable)
    sent = [signal.value for signal in sendable if choices[signal].chosen]
    if not sent:
        return OtlpVariables(None, {}, doubts)
    reader.protocols(sent)
    reader.meaningless()
    return OtlpVariables({**reader.options, "signals": sent}, reader.variables, (*doubts, *reader.doubts))


class _Choice(NamedTuple):
    """The choice that a variable makes."""

    chosen: bool
    doubts: tuple[VariableDoubt, ...] = ()


def _is_off(env: Mapping[str, str]) -> _Choice:
    """Whether `OTEL_SDK_DISABLED` turns OTLP off."""
    value = env.get(DISABLED, "false").lower()
    if value == "true":
        return _Choice(True, (VariableDoubt(DISABLED, "nothing is sent over OTLP", "unset it to send what the OTLP variables say"),))
    wrong = (
        ()
        if value == "false"
        else (VariableDoubt(DISABLED, f"{env[DISABLED]!r} is neither true nor false: it counts as false", "write true or false"),)
    )
    return _Choice(False, wrong)


def _selection(env: Mapping[str, str], signal: Signal, *, has_endpoint: bool) -> _Choice:
    """Whether `OTEL_<SIGNAL>_EXPORTER`, a list of exporters' names, selects OTLP for the signal; it does if it is not set."""
    variable = SELECTORS[signal]
    names = [name.strip().lower() for name in env.get(variable, "otlp").split(",") if name.strip()]
    if "otlp" in names:
        needs = variable in env and not has_endpoint and signal is not Signal.TRACES
        fix = f"set {PREFIX}ENDPOINT, as in http://localhost:4318"
        return _Choice(True, (VariableDoubt(variable, f"no endpoint is set for {signal.value}: they are not sent", fix),) if needs else ())
    unknown = sorted(set(names) - _ALSO_MEANT)
    if unknown:
        fix = "write otlp or none"
        return _Choice(True, (VariableDoubt(variable, f"{', '.join(map(repr, unknown))} is not an exporter: otlp is taken", fix),))
    if names == ["none"] or (names == ["prometheus"] and signal is Signal.METRICS) or signal is Signal.TRACES:
        return _Choice(False)
    message = f"{' and '.join(sorted(set(names)))} is not available by this variable: {signal.value} are not sent over OTLP either"
    fix = "write otlp or none" + ("; an exporter of type console or file needs a configuration file" if signal is Signal.LOGS else "")
    return _Choice(False, (VariableDoubt(variable, message, fix),) if has_endpoint else ())


def _misspelt(env: Mapping[str, str]) -> Iterator[VariableDoubt]:
    """Yield variables that begin like those of OTLP and that the specification does not have."""
    scopes = ("", *(f"{signal.value.upper()}_" for signal in SIGNALS))
    known = {f"{PREFIX}{scope}{name}" for scope in scopes for name in (*KEYS, *OTHERS)} | {PREFIX + name for name in METRICS_ONLY}
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known and (meant := closest(name, known, cutoff=0.9)):
            yield VariableDoubt(name, "is not a variable of OpenTelemetry", f"did you mean {meant!r}?")


class _VariableReader:
    """Collects options, their variables and warnings."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.options: Options = {}
        self.variables: dict[tuple[str, ...], str] = {}
        self.doubts: list[VariableDoubt] = []
        self.unusable: list[VariableDoubt] = []
        """Warnings about endpoints: reported also if nothing is sent without them."""
        self._env = env

    def scope(self, prefix: str, route: tuple[str, ...]) -> None:
        """Read the variables of all signals, or of one."""
        for name, key in KEYS.items():
            text = self._env.get(prefix + name)
            if name == "ENDPOINT" and text and self._is_for_grpc(prefix, text):
                shown = mask_url(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
                self.unusable.append(
                    VariableDoubt(prefix + name, f"{shown!r} is an address for gRPC, which is not available here: it is left out", HTTP_FIX)
                )
            elif text and (value := self._value(name, prefix + name, text)) is not None:
                self._put((*route, *key), prefix + name, value)

    def _is_for_grpc(self, prefix: str, endpoint: str) -> bool:
        """Whether an endpoint has the form that only gRPC takes, and is meant for it (protocol/exporter.md, "Endpoint", `grpc`)."""
        protocol = self._env.get(f"{prefix}PROTOCOL", self._env.get(f"{PREFIX}PROTOCOL", ""))
        return protocol.lower() == "grpc" and not endpoint.lower().startswith(("http://", "https://"))

    def sends(self, signal: Signal) -> bool:
        """Whether there is an endpoint for the signal."""
        return (signal.value, "endpoint") in self.variables or (("endpoint",) in self.variables and signal is not Signal.TRACES)

    def protocols(self, sent: list[str]) -> None:
        """Check the protocol of each signal that is sent, by its own variable or the common one; each variable once."""
        names = (next((n for n in (f"{PREFIX}{s.upper()}_PROTOCOL", f"{PREFIX}PROTOCOL") if n in self._env), "") for s in sent)
        for name in dict.fromkeys(names):
            value = self._env.get(name, "http/protobuf")
            if value.lower() != "http/protobuf":
                fix = "set it to http/protobuf" + (", and the endpoint to the HTTP port, usually 4318" if value.lower() == "grpc" else "")
                self.doubts.append(VariableDoubt(name, f"{value!r} is not available here: http/protobuf is sent", fix))

    def meaningless(self) -> None:
        """Warn once about variables that concern the sent data and have no effect here."""
        names = [name for name in sorted(self._env) if name.startswith(MEANINGLESS)]
        if names:
            message = "has no meaning here" if len(names) == 1 else f"has no meaning here, nor {', '.join(names[1:])}"
            self.doubts.append(
                VariableDoubt(names[0], message, "leave it to the workload's own SDK; the agent's options stand in its reference")
            )

    def _put(self, route: tuple[str, ...], variable: str, value: object) -> None:
        inner = self.options
        for key in route[:-1]:
            inner = inner.setdefault(key, {})  # type: ignore[assignment]
        inner[route[-1]] = value
        self.variables[route] = variable

    def _value(self, name: str, variable: str, text: str) -> object:
        if name == "HEADERS":
            return self._headers(variable, text)
        if name == "COMPRESSION" and (text := text.lower()) not in ("gzip", "none"):
            self.doubts.append(VariableDoubt(variable, f"{text!r} is not available here: gzip is used", "write gzip or none"))
            return None
        return self._timeout(variable, text) if name == "TIMEOUT" else text

    def _headers(self, variable: str, text: str) -> dict[str, str]:
        """Read `key1=value1,key2=value2`, percent-encoded as in W3C Baggage."""
        headers: dict[str, str] = {}
        for number, pair in enumerate(text.split(","), 1):
            name, equals, value = (unquote(part.strip()) for part in pair.partition("="))
            if equals and name:
                wrong = None if name.endswith("_file") else objection(name, value, OWN_HEADERS, "exporter")
                self.doubts += [] if wrong is None else [VariableDoubt(variable, f"{wrong}: it is left out", wrong.fix)]
                headers |= {name: value} if wrong is None else {}
            elif pair.strip():
                fix = "write name=value,name=value with the values percent-encoded"
                self.doubts.append(VariableDoubt(variable, f"its entry {number} is not name=value: it is left out", fix))
        return headers

    def _timeout(self, variable: str, text: str) -> float | None:
        """Convert milliseconds, the specification's unit, to seconds; None if it is not a number."""
        if text.isascii() and text.isdigit() and len(text) <= 12:
            return min(int(text) / 1000, NO_LIMIT) or NO_LIMIT
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        message = f"{shown!r} is not a whole number: the default is taken"
        self.doubts.append(VariableDoubt(variable, message, "write milliseconds, as in 10000 for ten seconds"))
        return None
