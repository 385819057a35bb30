"""Zero configuration: the environment as a `Tree`, with the variables' names as places. Pure, except for the exporters' own variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

from agent.config.tree import Data, Fault, Place, Route, Tree, dotted
from agent.names import SERVICE_NAME
from agent.registry import TARGET_SAMPLER

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES: Final = {
    "OUTRIDER_STATE_DIR": "directory of the spool, its lock and the agent's socket",
    "OUTRIDER_LOG_FILES": "comma-separated globs of the log files to read",
    "OUTRIDER_TARGET": "whose resources to measure: pid:N, pidfile:PATH, name:REGEX or cgroup:PATH",
    "OUTRIDER_PROBES": "comma-separated URLs to probe",
    "OUTRIDER_REDIS_STREAMS": "not available in this version",
    "OUTRIDER_LISTEN": "host:port of the agent's own pages",
    "OUTRIDER_INSECURE": "`true`: every client that reaches that address may read the pages; otherwise an address other than loopback needs one of the next two",
    "OUTRIDER_TOKEN_FILE": "file with the token that clients of the pages must send",
    "OUTRIDER_WEB_CONFIG": "`web.config` file of the pages: TLS, users",
    "OUTRIDER_SHUTDOWN_GRACE": "longest time to continue reading after SIGTERM, such as `8s`",
    "OUTRIDER_TESTRUN_DIR": "not available in this version",
    "OTEL_SERVICE_NAME": "the name of the service: `service.name`",
    "OTEL_RESOURCE_ATTRIBUTES": "key=value pairs, comma-separated, percent-encoded",
    "OTEL_METRIC_EXPORT_INTERVAL": "how often metrics are sent, in milliseconds",
    "OTEL_EXPORTER_OTLP_*": "where and how logs, metrics and traces are sent: the standard variables, common and per signal",
    "OTEL_LOGS_EXPORTER": "`none`: logs are not sent over OTLP; so OTEL_METRICS_EXPORTER and OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED": "`true`: nothing is sent over OTLP",
    "SENTRY_DSN": "where errors are sent",
    "SENTRY_ENVIRONMENT": "the environment that Sentry shows",
    "SENTRY_RELEASE": "the release that Sentry shows",
}
"""Variables that are read → their meaning."""

OURS: Final = tuple(name for name in VARIABLES if name.startswith("OUTRIDER_"))

OTLP_PREFIX: Final = "OTEL_EXPORTER_OTLP_"

OTHERS: Final = frozenset({"OUTRIDER_CRASH_LOG", "OUTRIDER_FAULT"})
"""Our own variables that are read elsewhere."""

MEANT: Final = {
    **dict.fromkeys(("OUTRIDER_PORT", "OUTRIDER_HOST", "OUTRIDER_ADDRESS", "OUTRIDER_BIND"), "set OUTRIDER_LISTEN to host:port"),
    **dict.fromkeys(("OUTRIDER_CONFIG", "OUTRIDER_CONFIG_FILE"), "name the file on the command line, with -c"),
    **dict.fromkeys(("OUTRIDER_LOG_LEVEL", "OUTRIDER_LOG_FORMAT"), "write `level` or `format` under `log` in a configuration file"),
}
"""Names that do not exist but are sometimes set → the fix."""

_SERVICE_LINK: Final = re.compile(
    r"OUTRIDER(?:_[A-Z0-9_]+?)??_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
"""Variables that Kubernetes (and Docker, for links) sets for a service whose name begins with `outrider`: neither ours nor mistyped."""
_SERVICE_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://\S+")
"""The value of `<SERVICE>_PORT` that Kubernetes sets with them."""

CHOICES: Final = {"OTEL_SDK_DISABLED": "true", "OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
"""Variable → the value that keeps a signal from being sent over OTLP."""

LONGEST_MS: Final = 366 * 86_400_000
"""Milliseconds: no interval is longer (`options.parse_duration`)."""

UNAVAILABLE: Final = ("OUTRIDER_REDIS_STREAMS", "OUTRIDER_TESTRUN_DIR")


def tree_of(env: Mapping[str, str]) -> Tree:
    """The configuration in the environment. An empty variable counts as unset (OpenTelemetry specification, environment variables)."""
    builder = _Builder({name: value.strip() for name, value in env.items() if value.strip()})
    builder.service()
    builder.plain("OUTRIDER_STATE_DIR", ("state_dir",))
    builder.plain("OUTRIDER_LISTEN", ("server", "listen"))
    builder.switch("OUTRIDER_INSECURE", ("server", "insecure"))
    builder.plain("OUTRIDER_TOKEN_FILE", ("server", "bearer_token_file"))
    builder.plain("OUTRIDER_WEB_CONFIG", ("server", "web_config"))
    builder.plain("OUTRIDER_SHUTDOWN_GRACE", ("shutdown", "grace"))
    builder.metrics()
    builder.inputs()
    builder.otlp()
    builder.sentry()
    builder.unavailable()
    return builder.tree


class _Builder:
    """Fills the tree, variable by variable."""

    def __init__(self, env: dict[str, str]) -> None:
        self.tree = Tree("environment")
        self._env = env

    def plain(self, variable: str, route: tuple[str, ...]) -> None:
        if variable in self._env:
            self._put(variable, route, self._env[variable])

    def switch(self, variable: str, route: tuple[str, ...]) -> None:
        """Read a boolean."""
        value = self._env.get(variable, "").lower()
        if value in ("true", "1", "false", "0"):
            self._put(variable, route, value in ("true", "1"))
        elif value:
            self._fault(variable, f"{self._env[variable]!r} is neither true nor false", "write true or false")

    def service(self) -> None:
        attributes = self._resource_attributes()
        name = attributes.pop(SERVICE_NAME, None)
        if attributes:
            self._put("OTEL_RESOURCE_ATTRIBUTES", ("service", "attributes"), attributes)
        if name:
            self._put("OTEL_RESOURCE_ATTRIBUTES", ("service", "name"), name)
        self.plain("OTEL_SERVICE_NAME", ("service", "name"))  # after: it takes precedence over the attribute

    def metrics(self) -> None:
        text = self._env.get("OTEL_METRIC_EXPORT_INTERVAL")
        if text is not None and text.isascii() and text.isdigit() and len(text) <= 12 and 0 < int(text) <= LONGEST_MS:
            self._put("OTEL_METRIC_EXPORT_INTERVAL", ("metrics", "interval"), int(text) / 1000)
        elif text is not None:
            self._warn(
                "OTEL_METRIC_EXPORT_INTERVAL", f"{text!r} is not a number of milliseconds: the default is taken", "write a whole number"
            )
        name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
        preference = self._env.get(name, "").strip().lower()
        if preference in ("cumulative", "delta", "lowmemory"):
            self._put(name, ("metrics", "temporality"), preference)
        elif preference:
            self._warn(name, f"{self._env[name]!r} is not a temporality: cumulative is taken", "write cumulative, delta or lowmemory")

    def inputs(self) -> None:
        patterns: list[Data] = [*_split(self._env.get("OUTRIDER_LOG_FILES", ""))]
        if patterns:
            self._append("OUTRIDER_LOG_FILES", "sources", {"type": "log_files", "include": patterns})
        if target := self._env.get("OUTRIDER_TARGET"):
            self._append("OUTRIDER_TARGET", "samplers", {"type": TARGET_SAMPLER, "target": target})
        for url in _split(self._env.get("OUTRIDER_PROBES", "")):
            self._append("OUTRIDER_PROBES", "probes", {"url": url})

    def otlp(self) -> None:
        if not any(name.startswith(OTLP_PREFIX) or name.endswith("_EXPORTER") for name in self._env):
            return
        from agent.exporters import otlp_environment  # noqa: PLC0415 - most workloads set none of its variables

        reading = otlp_environment.read(self._env)
        for doubt in reading.doubts:
            self._warn(*doubt)
        if reading.options is not None:
            variable = next(iter(reading.variables.values()))
            route = self._append(variable, "exporters", {"type": "otlp_http", **cast("dict[str, Data]", reading.options)})
            self.tree.values.update({(*route, *option): Place(name) for option, name in reading.variables.items()})

    def sentry(self) -> None:
        if "SENTRY_DSN" not in self._env:
            return
        keys = {"dsn": "SENTRY_DSN", "environment": "SENTRY_ENVIRONMENT", "release": "SENTRY_RELEASE"}
        given: dict[str, Data] = {key: self._env[variable] for key, variable in keys.items() if variable in self._env}
        route = self._append("SENTRY_DSN", "exporters", {"type": "sentry", **given})
        for key in given:
            self.tree.values[(*route, key)] = Place(keys[key])

    def unavailable(self) -> None:
        for variable in UNAVAILABLE:
            if variable in self._env:
                self._fault(variable, "is not available in this version", "unset it, or upgrade when it is")

    def _resource_attributes(self) -> dict[str, Data]:
        """`key=value,…`, percent-encoded (OpenTelemetry specification, Resource SDK). A wrong pair is warned about and left out.

        By the letter it discards the whole value, and with it the service's name; OpenTelemetry's own SDKs keep the rest as well.
        """
        attributes: dict[str, Data] = {}
        for pair in _split(self._env.get("OTEL_RESOURCE_ATTRIBUTES", "")):
            key, equals, value = pair.partition("=")
            if not equals or not key.strip():
                fix = "write key=value,key=value, and a comma in a value as %2C"
                self._warn("OTEL_RESOURCE_ATTRIBUTES", f"{pair!r} is not a key=value pair: it is left out", fix)
                continue
            attributes[unquote(key.strip())] = unquote(value.strip())
        return attributes

    def _put(self, variable: str, route: tuple[str, ...], value: Data) -> None:
        data = self.tree.data
        for key in route[:-1]:
            inner = data.setdefault(key, {})
            assert isinstance(inner, dict)  # noqa: S101 - the routes are ours
            data = inner
        data[route[-1]] = value
        self._mark(variable, route)

    def _append(self, variable: str, key: str, entry: dict[str, Data]) -> Route:
        entries = self.tree.data.setdefault(key, [])
        assert isinstance(entries, list)  # noqa: S101 - as above
        entries.append(entry)
        route = (key, len(entries) - 1)
        self._mark(variable, route)
        return route

    def _mark(self, variable: str, route: Route) -> None:
        for length in range(1, len(route) + 1):
            self.tree.values.setdefault(route[:length], Place(variable))
        self.tree.values[route] = Place(variable)

    def _fault(self, variable: str, message: str, fix: str) -> None:
        self.tree.faults.append(Fault(Place(variable), "", message, fix))

    def _warn(self, variable: str, message: str, fix: str) -> None:
        self.tree.warnings.append(Fault(Place(variable), "", message, fix))


def unused_warning(route: Route, tree: Tree) -> Fault:
    """The warning that a variable was set for nothing, because the file decides."""
    return Fault(tree.value_place(route), "", f"is ignored, because the file sets {dotted(route)}", "remove one of the two")


def ignored_choices(env: Mapping[str, str]) -> list[Fault]:
    """Warnings that a signal is sent although a variable disables it, because the file says where to."""
    off = [name for name, value in CHOICES.items() if env.get(name, "").strip().lower() == value]
    return [Fault(Place(name), "", "is ignored, because the file sets exporters", "remove one of the two") for name in off]


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and that nothing reads."""
    return sorted(name for name, value in env.items() if name.startswith("OUTRIDER_") and not _is_known(name, value))


def _is_known(name: str, value: str) -> bool:
    address = name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(value)
    return name in VARIABLES or name in OTHERS or bool(address or _SERVICE_LINK.fullmatch(name))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
