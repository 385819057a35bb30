"""The root of the configuration, as values: the options of a file, their defaults, and the meaning of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny, model_validator

from agent.component import ComponentConfig  # noqa: TC001 - pydantic reads it
from agent.issues.envelope.names import command_slug, is_slug
from agent.names import SERVICE_NAME
from agent.net.addresses import is_loopback
from agent.options import Address, Duration, FilePath, Interval, OptionError, ReadableFile, Secret, Size, split_address
from agent.parse.patterns import Pattern  # noqa: TC001 - pydantic reads it
from agent.redact.redactor import RedactConfig

if TYPE_CHECKING:
    from collections.abc import Sequence


def _name(value: str) -> str:
    if not value or len(value) > 200 or not value.isprintable() or " " in value:
        raise OptionError("is not a name", "write up to 200 printable characters without spaces")
    return value


def _slug(value: str) -> str:
    if value and not is_slug(value):
        raise OptionError("is not a slug that Sentry takes", "write up to 50 of a-z, 0-9, _ and -, not digits alone, as in nightly-import")
    return value


_CRONTAB: Final = re.compile(r"@(?:yearly|annually|monthly|weekly|daily|hourly)|(?:[0-9*/,A-Za-z-]+ +){4}[0-9*/,A-Za-z-]+")


def _crontab(value: str) -> str:
    if value and not _CRONTAB.fullmatch(value.strip()):
        raise OptionError("is not a crontab", "write minute, hour, day, month and weekday, as in 0 4 * * *")
    return value.strip()


Name = Annotated[str, AfterValidator(_name)]
AttributeKey = Annotated[str, Field(min_length=1)]
"""Not empty (OpenTelemetry specification, common/README.md, "Attribute")."""


class Section(BaseModel):
    """Base of the configuration's parts: frozen, unknown keys refused, documented by the docstrings below the options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Service(Section):
    """The identity of the workload: the OpenTelemetry resource of everything that is sent."""

    name: str = Field(default="unknown_service", min_length=1)
    """`service.name`. Default: `unknown_service:` and the name of the watched process. From the environment: `OTEL_SERVICE_NAME`."""
    attributes: dict[AttributeKey, str] = {}
    """More resource attributes, such as `deployment.environment.name`. From the environment: `OTEL_RESOURCE_ATTRIBUTES`. `service.instance.id`,
    `host.name`, `os.type`, `k8s.*` (in a pod), and `process.*` and `container.id` (of a target that is one process) are detected unless given here."""

    _detected: dict[str, str] = PrivateAttr(default_factory=dict)

    def resource(self) -> dict[str, str]:
        """All resource attributes, `service.name` first; configured values win over detected ones."""
        return {
            SERVICE_NAME: self.name,
            **self._detected,
            **{key: value for key, value in self.attributes.items() if key != SERVICE_NAME},
        }

    def completed(self, name: str, detected: dict[str, str]) -> Service:
        """A copy with this name, unless the configuration gives one, and with the detected attributes."""
        made = self if "name" in self.model_fields_set else self.model_copy(update={"name": name})
        made = made.model_copy()
        made._detected = detected  # noqa: SLF001 - our own copy
        return made

    def given(self) -> frozenset[str]:
        """The names of the attributes that the configuration gives."""
        return frozenset(self.attributes) | ({SERVICE_NAME} if "name" in self.model_fields_set else set())


class Spool(Section):
    """The store between sources and destinations, in `state_dir`."""

    quota: Size = Field(default=1 << 30, ge=1 << 20)
    """Bytes that the spool may take. When it is full, files are read later, receivers refuse, and only records that can't be read again are evicted."""


class Server(Section):
    """The agent's own pages: `/metrics`, `/healthz`, `/readyz`, `/`."""

    listen: Address = "127.0.0.1:9464"
    """`host:port`. From the environment: `OUTRIDER_LISTEN`. Another address than loopback needs `web_config`, `bearer_token` or `insecure`."""
    insecure: bool = False
    """Allow an address that other machines can reach, without TLS or authentication. From the environment: `OUTRIDER_INSECURE`."""
    web_config: ReadableFile | None = None
    """A `web.config` file as in Prometheus' exporter-toolkit: TLS, users with bcrypt hashes (`outrider[web]`), headers, rate limit. It applies to
    every page. `outrider healthcheck` and the other commands use the control socket, which needs no authentication. From the environment:
    `OUTRIDER_WEB_CONFIG`."""
    bearer_token: Secret | None = None
    """A token that clients may send as `Authorization: Bearer …`, in addition to the users of `web_config`. From the environment:
    `OUTRIDER_TOKEN_FILE`, the file that holds it."""

    @model_validator(mode="after")
    def _only_loopback(self) -> Server:
        # a web_config without any authentication is found when it is read
        open_to_all = not (self.insecure or self.web_config or self.bearer_token)
        if open_to_all and not is_loopback(split_address(self.listen)[0]):
            fix = (
                "listen on 127.0.0.1; or set web_config or bearer_token (OUTRIDER_WEB_CONFIG, OUTRIDER_TOKEN_FILE); or, if only trusted machines "
                "reach it, write `insecure: true` (OUTRIDER_INSECURE=true)"
            )
            raise OptionError(f"{self.listen} can be reached by other machines, without TLS or authentication", fix, key="listen")
        return self


class Metrics(Section):
    """Metrics that are sent to destinations. `/metrics` does not depend on it: each scrape collects."""

    interval: Interval = 15.0
    """How often metrics are collected and stored for the destinations. From the environment: `OTEL_METRIC_EXPORT_INTERVAL` (ms)."""
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    """The beginning of the time that counters and histograms cover: their start (`cumulative`), or the last collection (`delta`). `lowmemory` is `delta`
    only for what the agent counts itself. From the environment: `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`."""


SentryLevel = Literal["debug", "info", "warning", "error", "fatal"]


class Errors(Section):
    """Errors that become Sentry issues; none without a `sentry` exporter."""

    level: SentryLevel = "error"
    """Records of this level and above are errors. A record without a level is one if it contains an exception."""
    patterns: tuple[Pattern, ...] = ()
    """A record whose text matches one of these is an error, whatever its level."""
    in_app: tuple[str, ...] = ()
    """Prefixes of paths or modules that are the workload's own code. Without any: everything except site-packages and the standard library."""
    source: bool = True
    """Send the source lines around each frame. They are read from the `.py` files of the command or the watched process, unless a file is newer than the process."""
    locals: bool = False
    """Send local variables where the log contains them. They often hold secrets."""
    breadcrumbs: int = Field(default=50, ge=0, le=100)
    """Number of records before an error that are sent with it."""
    window: Interval = 60.0
    """How long errors of one kind are folded: the first is sent at once, the others as one event with their number when the window ends."""
    per_fingerprint: int = Field(default=1, ge=1)
    """Number of errors of one kind that are sent as events of their own in each window."""
    total: int = Field(default=100, ge=1)
    """Number of events of all kinds that are sent in each window; further ones are folded."""
    kinds: int = Field(default=500, ge=1, le=10_000)
    """Number of kinds of errors of one source that are folded separately at a time; errors of further kinds are counted but not sent."""
    probes: bool = True
    """Report a probe that goes down as an error."""
    sessions: bool = True
    """Send a release-health session for each run of the command of `exec`, and of a watched process (`process_tree`), if the release is known.

    Its status at the end is `exited` (exit code 0, SIGTERM), `crashed` (another exit code, a signal, an OOM kill, a fatal error in its log), else `abnormal`."""
    check_ins: bool = False
    """Send a Sentry check-in for each check of a probe and each run of `exec`. This creates a cron monitor for each, which may cost money."""
    schedule: Annotated[str, AfterValidator(_crontab)] = ""
    """The schedule of the command of `exec`, as a crontab (`0 4 * * *`), from which its monitor is created. Without it, the monitor must already exist."""
    monitor: Annotated[str, AfterValidator(_slug)] = ""
    """The slug of the monitor of `exec`'s command. Default: the service, the program, its script, and a hash of the command line without dates and
    ids, so that two commands of one service have two monitors. It is logged at the start (`log: {level: info}`)."""
    logs: SentryLevel | None = None
    """Also send records of this level and above to Sentry Logs."""


class Log(Section):
    """The agent's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """`auto`: `console` on a terminal, else `json`."""


class Exec(Section):
    """The command of `outrider exec`."""

    buffer: Size = Field(default=8 << 20, ge=1 << 16)
    """Bytes of each of its two outputs that may wait in memory to be stored. Output is passed on before it is stored."""
    patience: Duration = 1.0
    """How long the command has to wait while the buffer is full and nothing can be stored. After that the oldest lines in the buffer are dropped,
    and counted as `buffer_full`, until storing works again. While storing works, a command that writes faster waits as at a full pipe. 0: never."""


class Shutdown(Section):
    """The end of a run."""

    grace: Duration = 8.0
    """The longest time that the agent continues to read after SIGTERM: to the present end of its sources, and while they grow or the target
    lives. Usually half a second is enough. From the environment: `OUTRIDER_SHUTDOWN_GRACE`.

    Together with `drain` it fits the 10 s of `docker stop`. Kubernetes stops a native sidecar after all main containers have ended, with the
    rest of the pod's grace period, at least 2 s. Bytes that stay unread are counted and reported. A second signal ends the agent at once."""
    drain: Duration = 1.5
    """How long sending continues after the sources have stopped. The rest stays in the spool for the next start.

    A destination that had failed by then gets one more attempt. When the command of `exec` ended without a signal to the agent, a destination that
    has not failed gets the rest of `grace`, because its records may be nowhere else."""


class Entry(Section):
    """One configured component: the host's options here, its own in `options`."""

    type: Name
    """The component type, one of `outrider components`."""
    name: Name
    """Unique name: the key of its positions or cursors, and its label in metrics. Default: the type, or a probe's URL."""
    options: SerializeAsAny[ComponentConfig]


class SamplerEntry(Entry):
    """A configured sampler."""

    interval: Interval = 15.0
    """How often it is sampled."""


class ProbeEntry(Entry):
    """A configured probe."""

    interval: Interval = 15.0
    """How often it checks."""
    timeout: Interval = 5.0
    """Time after which a check has failed. The default is shortened to the interval."""

    @model_validator(mode="after")
    def _one_at_a_time(self) -> ProbeEntry:
        if self.timeout > self.interval:
            raise OptionError("timeout is longer than interval", "write a timeout that is at most the interval", key="timeout")
        return self


class Settings(Section):
    """Everything that can be configured."""

    include: tuple[str, ...] = ()
    """Further files, as in `[conf.d/*.yaml]`, relative to this one. Their lists are appended to this file's; any other option may be set only once."""
    service: Service = Service()
    """The identity of the workload: the OpenTelemetry resource of everything that is sent."""
    state_dir: FilePath = Path(".outrider")
    """Directory of the spool, its lock and the agent's socket. From the environment: `OUTRIDER_STATE_DIR`."""
    spool: Spool = Spool()
    """The store between sources and destinations, in `state_dir`."""
    server: Server = Server()
    """The agent's own pages: `/metrics`, `/healthz`, `/readyz`, `/`."""
    redact: RedactConfig = RedactConfig()
    """Redaction of secrets in log records, before they are stored."""
    metrics: Metrics = Metrics()
    """Metrics that are sent to destinations. `/metrics` does not depend on it: each scrape collects."""
    errors: Errors = Errors()
    """Errors that become Sentry issues; none without a `sentry` exporter."""
    sources: tuple[Entry, ...] = ()
    """Where records come from. Each has a `type`, an optional `name`, and the options of that type."""
    samplers: tuple[SamplerEntry, ...] = ()
    """Measurements at an interval."""
    probes: tuple[ProbeEntry, ...] = ()
    """Checks from outside. With a `url`, its scheme gives the type."""
    exporters: tuple[Entry, ...] = ()
    """Where records are sent. Without any, they stay in the spool, where they can be read."""
    log: Log = Log()
    """The agent's own log, on stderr."""
    exec: Exec = Exec()
    """The command of `outrider exec`."""
    shutdown: Shutdown = Shutdown()
    """The end of a run."""

    def for_command(self, command: Sequence[str]) -> Settings:
        """A copy for a command of `exec`: with the slug of its monitor."""
        if self.errors.monitor or not self.errors.check_ins:
            return self
        errors = self.errors.model_copy(update={"monitor": command_slug(self.service.name, command)})
        return self.model_copy(update={"errors": errors})
