"""The standard OTLP exporter variables as options of `otlp_http` (OpenTelemetry specification, protocol/exporter.md). Pure.

An empty variable counts as unset. A number that is none is a fault here, not a warning: a typo must not send data elsewhere or nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from agent.errors import ConfigError
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "OTEL_EXPORTER_OTLP_"
SIGNALS: Final = (Signal.LOGS, Signal.METRICS, Signal.TRACES)
NO_LIMIT: Final = 2147483.0
"""Seconds: what a timeout of 0 ("no limit") is taken for (configuration/common.md, "Timeout")."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "ENDPOINT": ("endpoint",),
    "HEADERS": ("headers",),
    "TIMEOUT": ("timeout",),
    "COMPRESSION": ("compression",),
    "CERTIFICATE": ("tls", "ca_file"),
    "CLIENT_CERTIFICATE": ("tls", "cert_file"),
    "CLIENT_KEY": ("tls", "key_file"),
}
"""The last part of a variable's name, and where its value belongs among the options."""

Options = dict[str, object]
"""What the exporter's `Config` takes. Header values are secrets in the clear."""


class VariableFault(NamedTuple):
    """What is wrong with a variable, without its value where that may be a secret."""

    variable: str
    message: str
    fix: str


class Reading(NamedTuple):
    """What the variables say."""

    options: Options | None
    """None if no endpoint is set."""
    variables: Mapping[tuple[str, ...], str]
    """Which variable each option came from."""
    faults: tuple[VariableFault, ...]


def from_environment(env: Mapping[str, str]) -> Options | None:
    """Return the options that the variables stand for, None if no endpoint is set; ConfigError lists every fault with its fix."""
    reading = read(env)
    if reading.faults:
        raise ConfigError("\n".join(f"{fault.variable}: {fault.message}; {fault.fix}" for fault in reading.faults))
    return reading.options


def read(env: Mapping[str, str]) -> Reading:
    """Read the variables, all of them, whatever is wrong with some.

    A signal is sent if its own endpoint or the common one is set; traces only with their own, because nothing makes any unless asked to.
    """
    reader = _Reader({name: value.strip() for name, value in env.items() if name.startswith(PREFIX) and value.strip()})
    reader.scope(PREFIX, ())
    for signal in SIGNALS:
        reader.scope(f"{PREFIX}{signal.value.upper()}_", (signal.value,))
    sent = [signal.value for signal in SIGNALS if reader.sends(signal)]
    if not sent:
        return Reading(None, {}, ())
    reader.protocols(sent)
    return Reading({**reader.options, "signals": sent}, reader.variables, tuple(reader.faults))


class _Reader:
    """Collects options, their origins and the faults."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.options: Options = {}
        self.variables: dict[tuple[str, ...], str] = {}
        self.faults: list[VariableFault] = []
        self._env = env

    def scope(self, prefix: str, route: tuple[str, ...]) -> None:
        """Read the variables of all signals, or of one."""
        for name, key in KEYS.items():
            if text := self._env.get(prefix + name):
                self._put((*route, *key), prefix + name, self._value(name, prefix + name, text))

    def sends(self, signal: Signal) -> bool:
        """Whether there is an endpoint for the signal."""
        return (signal.value, "endpoint") in self.variables or (("endpoint",) in self.variables and signal is not Signal.TRACES)

    def protocols(self, sent: list[str]) -> None:
        """Check the protocol of every signal that is sent, its own variable first; each variable once."""
        names = (next((n for n in (f"{PREFIX}{s.upper()}_PROTOCOL", f"{PREFIX}PROTOCOL") if n in self._env), "") for s in sent)
        for name in dict.fromkeys(names):
            value = self._env.get(name, "http/protobuf")
            if value != "http/protobuf":
                fix = "set it to http/protobuf" + (", and the endpoint to the HTTP port, usually 4318" if value == "grpc" else "")
                self.faults.append(VariableFault(name, f"{value!r} is not available here", fix))

    def _put(self, route: tuple[str, ...], variable: str, value: object) -> None:
        inner = self.options
        for key in route[:-1]:
            inner = inner.setdefault(key, {})  # type: ignore[assignment]
        inner[route[-1]] = value
        self.variables[route] = variable

    def _value(self, name: str, variable: str, text: str) -> object:
        if name == "HEADERS":
            return self._headers(variable, text)
        return self._timeout(variable, text) if name == "TIMEOUT" else text

    def _headers(self, variable: str, text: str) -> dict[str, str]:
        """Read `key1=value1,key2=value2`, percent-encoded as in W3C Baggage."""
        headers: dict[str, str] = {}
        for number, pair in enumerate(text.split(","), 1):
            name, equals, value = pair.partition("=")
            if equals and name.strip():
                headers[unquote(name.strip())] = unquote(value.strip())
            elif pair.strip():
                fix = "write name=value,name=value with the values percent-encoded"
                self.faults.append(VariableFault(variable, f"its entry {number} is not name=value", fix))
        return headers

    def _timeout(self, variable: str, text: str) -> float:
        """Milliseconds (the specification's unit), as seconds."""
        if text.isascii() and text.isdigit() and len(text) <= 12:
            return min(int(text) / 1000, NO_LIMIT) or NO_LIMIT
        self.faults.append(VariableFault(variable, f"{text!r} is not a whole number", "write milliseconds, as in 10000 for ten seconds"))
        return NO_LIMIT
