"""The standard OTLP exporter variables as options of `otlp_http` (OpenTelemetry specification, protocol/exporter.md). Pure.

An empty variable counts as unset. A number that is none is an error here, not a warning: a typo must not send data elsewhere or nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from agent.errors import ConfigError
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "OTEL_EXPORTER_OTLP_"
SIGNALS: Final = (Signal.LOGS, Signal.METRICS, Signal.TRACES)
NO_LIMIT: Final = 2147483.0
"""Seconds: what a timeout of 0 ("no limit") is taken for (configuration/common.md, "Timeout")."""

Options = dict[str, object]


def from_environment(env: Mapping[str, str]) -> Options | None:
    """Return the options that the variables stand for, or None if no endpoint is set; ConfigError lists every fault with its fix.

    Header values in the result are secrets in the clear. A signal is sent if the base endpoint or its own one is set; traces only with
    their own, because nothing makes any unless asked to.
    """
    faults: list[str] = []
    options = _read(env, PREFIX, faults)
    options |= {signal.value: own for signal in SIGNALS if (own := _read(env, f"{PREFIX}{signal.value.upper()}_", faults))}
    signals = [signal.value for signal in SIGNALS if _is_sent(options, signal)]
    if not signals:
        return None
    _check_protocols(env, signals, faults)
    if faults:
        raise ConfigError("\n".join(faults))
    return {**options, "signals": signals}


def _is_sent(options: Options, signal: Signal) -> bool:
    own = options.get(signal.value)
    return (isinstance(own, dict) and "endpoint" in own) or ("endpoint" in options and signal is not Signal.TRACES)


def _read(env: Mapping[str, str], prefix: str, faults: list[str]) -> Options:
    """The options of one prefix: the common one, or one signal's."""
    options: Options = {}
    for name, key in (("ENDPOINT", "endpoint"), ("COMPRESSION", "compression")):
        if value := env.get(prefix + name, "").strip():
            options[key] = value
    if headers := env.get(prefix + "HEADERS", "").strip():
        options["headers"] = parse_headers(headers, prefix + "HEADERS", faults)
    if timeout := env.get(prefix + "TIMEOUT", "").strip():
        options["timeout"] = _timeout(timeout, prefix + "TIMEOUT", faults)
    files = (("CERTIFICATE", "ca_file"), ("CLIENT_CERTIFICATE", "cert_file"), ("CLIENT_KEY", "key_file"))
    if tls := {key: value for name, key in files if (value := env.get(prefix + name, "").strip())}:
        options["tls"] = tls
    return options


def parse_headers(text: str, variable: str, faults: list[str]) -> dict[str, str]:
    """Read `key1=value1,key2=value2`, percent-encoded as W3C Baggage is; a pair that is none goes to `faults`, without its value."""
    headers: dict[str, str] = {}
    for number, pair in enumerate(text.split(","), 1):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            headers[unquote(name.strip())] = unquote(value.strip())
        elif pair.strip():
            faults.append(f"{variable}: entry {number} is not name=value; write name=value,name=value with values percent-encoded")
    return headers


def _timeout(text: str, variable: str, faults: list[str]) -> float:
    if text.isascii() and text.isdigit():
        return int(text) / 1000 or NO_LIMIT
    faults.append(f"{variable}={text!r}: not a whole number; write milliseconds, as in 10000 for ten seconds")
    return 10.0


def _check_protocols(env: Mapping[str, str], signals: list[str], faults: list[str]) -> None:
    """Each sent signal's protocol, its own variable first; each fault once."""
    names = (next((n for n in (f"{PREFIX}{s.upper()}_PROTOCOL", f"{PREFIX}PROTOCOL") if env.get(n, "").strip()), None) for s in signals)
    for name in dict.fromkeys(filter(None, names)):
        value = env[name].strip()
        if value == "http/protobuf":
            continue
        port = ", and the endpoint to the collector's HTTP port (usually 4318)" if value == "grpc" else ""
        faults.append(f"{name}={value!r}: not supported here; set it to http/protobuf{port}")
