"""The root of the configuration, as values. What a file may say, what the defaults are, and what each option means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny, model_validator

from agent.component import ComponentConfig  # noqa: TC001 - pydantic reads it
from agent.issues.envelope.names import command_slug, is_slug
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
    """Who the workload is: the OpenTelemetry resource that everything is sent with."""

    name: str = Field(default="unknown_service", min_length=1)
    """`service.name`; without it `unknown_service:` and the name of the process that is watched. From the environment: `OTEL_SERVICE_NAME`."""
    attributes: dict[AttributeKey, str] = {}
    """More resource attributes, such as `deployment.environment.name`. From the environment: `OTEL_RESOURCE_ATTRIBUTES`. `service.instance.id`,
    `host.name`, `os.type`, `k8s.*` in a pod, and `process.*` and `container.id` of a target that is one process are detected unless they are given."""

    _detected: dict[str, str] = PrivateAttr(default_factory=dict)

    def resource(self) -> dict[str, str]:
        """All resource attributes, `service.name` first; those that are given win over those that were detected."""
        return {
            "service.name": self.name,
            **self._detected,
            **{key: value for key, value in self.attributes.items() if key != "service.name"},
        }

    def completed(self, name: str, detected: dict[str, str]) -> Service:
        """The same with a name, unless one is given, and with what was detected."""
        made = self if "name" in self.model_fields_set else self.model_copy(update={"name": name})
        made = made.model_copy()
        made._detected = detected  # noqa: SLF001 - a copy of ours
        return made

    def given(self) -> frozenset[str]:
        """The names of the attributes that the configuration gives."""
        return frozenset(self.attributes) | ({"service.name"} if "name" in self.model_fields_set else set())


class Spool(Section):
    """The store between sources and destinations, in `state_dir`."""

    quota: Size = Field(default=1 << 30, ge=1 << 20)
    """Bytes that the spool may take. When it is full, files wait, receivers refuse, and only what can't be read again is evicted."""


class Server(Section):
    """The agent's own pages: `/metrics`, `/healthz`, `/readyz`, `/`."""

    listen: Address = "127.0.0.1:9464"
    """`host:port`. From the environment: `OUTRIDER_LISTEN`. Another address than loopback needs `web_config`, `bearer_token` or `insecure`."""
    insecure: bool = False
    """Allow an address that others can reach, although there is neither TLS nor authentication. From the environment: `OUTRIDER_INSECURE`."""
    web_config: ReadableFile | None = None
    """A `web.config` file of Prometheus' exporter-toolkit: TLS, users with bcrypt hashes (`outrider[web]`), headers, rate limit. It holds for every
    page; `outrider healthcheck` and the other commands ask over the control socket, which needs none of it. From the environment:
    `OUTRIDER_WEB_CONFIG`."""
    bearer_token: Secret | None = None
    """A token that clients may give as `Authorization: Bearer …`; beside the users of `web_config`, if there are any. From the environment: its file,
    `OUTRIDER_TOKEN_FILE`."""

    @model_validator(mode="after")
    def _only_loopback(self) -> Server:
        open_to_all = not (
            self.insecure or self.web_config or self.bearer_token
        )  # a web_config that lets everybody in is found when it is read
        if open_to_all and not is_loopback(split_address(self.listen)[0]):
            fix = (
                "listen on 127.0.0.1; or set web_config or bearer_token (OUTRIDER_WEB_CONFIG, OUTRIDER_TOKEN_FILE); or, if only trusted machines "
                "reach it, write `insecure: true` (OUTRIDER_INSECURE=true)"
            )
            raise OptionError(f"{self.listen} can be reached from outside, without TLS or authentication", fix, key="listen")
        return self


class Metrics(Section):
    """Metrics on their way to destinations; `/metrics` is always as fresh as its scrape."""

    interval: Interval = 15.0
    """How often metrics are written to the spool for the destinations. From the environment: `OTEL_METRIC_EXPORT_INTERVAL` (ms)."""
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    """What counters and histograms count since: their start, or the collection before (`delta`); `lowmemory` is `delta` only for what the agent counts
    itself. From the environment: `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`."""


SentryLevel = Literal["debug", "info", "warning", "error", "fatal"]


class Errors(Section):
    """What becomes a Sentry issue. Without a `sentry` exporter nothing does."""

    level: SentryLevel = "error"
    """Records from this level on are errors; so is one without a level that tells of an exception."""
    patterns: tuple[Pattern, ...] = ()
    """A record whose text one of these finds is an error whatever its level."""
    in_app: tuple[str, ...] = ()
    """Prefixes of paths or modules that are the workload's own code. None: all but site-packages and the standard library."""
    source: bool = True
    """Read the `.py` files of the command or the watched process for the lines around a frame, unless they are newer than it."""
    locals: bool = False
    """Send local variables, where a logger has written them. They often hold secrets."""
    breadcrumbs: int = Field(default=50, ge=0, le=100)
    """Records before an error that go with it."""
    window: Interval = 60.0
    """How long errors of one kind are folded: the first is sent at once, the rest at the window's end as one, with their number."""
    per_fingerprint: int = Field(default=1, ge=1)
    """Errors of one kind that are sent by themselves in each window."""
    total: int = Field(default=100, ge=1)
    """Events of all kinds together that are sent in each window; more are folded."""
    kinds: int = Field(default=500, ge=1, le=10_000)
    """Kinds of errors of one source that are kept apart at a time; more are counted and not told."""
    probes: bool = True
    """Whether a probe that goes down is an error."""
    sessions: bool = True
    """Tell of each run of the command of `exec`, and of a watched process (`process_tree`), as a release-health session, if the release is known.

    It ends `exited` in order (also by SIGTERM), `crashed` by proof (exit code, signal, OOM kill, last words in its log), else `abnormal`."""
    check_ins: bool = False
    """Check in for each probe and each run of `exec` as a cron monitor of Sentry's, which is made by that. Monitors may cost money."""
    schedule: Annotated[str, AfterValidator(_crontab)] = ""
    """When the command of `exec` runs, as a crontab (`0 4 * * *`): makes its monitor. Without, the monitor must exist."""
    monitor: Annotated[str, AfterValidator(_slug)] = ""
    """The slug of the monitor of `exec`'s command; else one of the service, the program, its script and a hash of the command line, in which
    dates and ids don't count: two commands of one service have two monitors. The log names it at the start (`log: {level: info}`)."""
    logs: SentryLevel | None = None
    """Send records from this level on to Sentry Logs as well."""


class Log(Section):
    """The agent's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """`auto` writes for people on a terminal and JSON elsewhere."""


class Exec(Section):
    """The command of `outrider exec`."""

    buffer: Size = Field(default=8 << 20, ge=1 << 16)
    """Bytes of each of its two outputs that may wait in memory to be stored. Both are passed on first, whatever happens here."""
    patience: Duration = 1.0
    """How long the command is held up when the buffer is full and nothing gets stored any more; then the oldest lines in it are given up,
    and counted as `buffer_full`, until storing goes on. As long as it does go on, a command that is faster waits as at a full pipe. 0: never."""


class Shutdown(Section):
    """The end of a run."""

    grace: Duration = 8.0
    """How long the agent reads on at most when it is asked to end: to the present end of what its sources follow, and as long as they grow or
    the target lives. Usually over after half a second. From the environment: `OUTRIDER_SHUTDOWN_GRACE`.

    With `drain` it fits the 10 s of `docker stop`. In Kubernetes a native sidecar is asked to end when all main containers have, with what is
    left of the pod's grace period, at least 2 s. What stays unread is counted and said. A second signal ends the agent at once."""
    drain: Duration = 1.5
    """How long sending goes on after the sources have stopped. What is left stays in the spool for the next start.

    A destination that had failed by then gets one more attempt. After a command that ended by itself (`exec`) a destination that has not failed
    gets what is left of `grace`: no one waits for such an end with a kill, and its records may be nowhere else."""


class Entry(Section):
    """One configured component: the host's options here, its own in `options`."""

    type: Name
    """The component type, one of `outrider components`."""
    name: Name
    """Unique; the key of its positions or cursors, and its label in metrics. Without one: the type, or a probe's URL."""
    options: SerializeAsAny[ComponentConfig]


class SamplerEntry(Entry):
    """A configured sampler."""

    interval: Interval = 15.0
    """How often it is asked."""


class ProbeEntry(Entry):
    """A configured probe."""

    interval: Interval = 15.0
    """How often it looks."""
    timeout: Interval = 5.0
    """After which a look has failed; without one at most the interval."""

    @model_validator(mode="after")
    def _one_at_a_time(self) -> ProbeEntry:
        if self.timeout > self.interval:
            raise OptionError("timeout is longer than interval", "write a timeout that is at most the interval", key="timeout")
        return self


class Settings(Section):
    """Everything that can be configured."""

    include: tuple[str, ...] = ()
    """Further files, as in `[conf.d/*.yaml]`, relative to this one: their lists are joined to this one's, anything else is set once."""
    service: Service = Service()
    """Who the workload is: the OpenTelemetry resource that everything is sent with."""
    state_dir: FilePath = Path(".outrider")
    """Directory of the spool, its lock and the agent's socket. From the environment: `OUTRIDER_STATE_DIR`."""
    spool: Spool = Spool()
    """The store between sources and destinations, in `state_dir`."""
    server: Server = Server()
    """The agent's own pages: `/metrics`, `/healthz`, `/readyz`, `/`."""
    redact: RedactConfig = RedactConfig()
    """What is taken out of log records before they are stored."""
    metrics: Metrics = Metrics()
    """Metrics on their way to destinations; `/metrics` is always as fresh as its scrape."""
    errors: Errors = Errors()
    """What becomes a Sentry issue. Without a `sentry` exporter nothing does."""
    sources: tuple[Entry, ...] = ()
    """What is read: each has a `type`, perhaps a `name`, and the options of that type."""
    samplers: tuple[SamplerEntry, ...] = ()
    """What is measured at an interval."""
    probes: tuple[ProbeEntry, ...] = ()
    """What is looked at from outside. With a `url`, the type follows from its scheme."""
    exporters: tuple[Entry, ...] = ()
    """Where everything is sent. Without any, records stay in the spool and readable."""
    log: Log = Log()
    """The agent's own log, on stderr."""
    exec: Exec = Exec()
    """The command of `outrider exec`."""
    shutdown: Shutdown = Shutdown()
    """The end of a run."""

    def for_command(self, command: Sequence[str]) -> Settings:
        """These, with what follows from the command of `exec`: the slug of its monitor."""
        if self.errors.monitor or not self.errors.check_ins:
            return self
        errors = self.errors.model_copy(update={"monitor": command_slug(self.service.name, command)})
        return self.model_copy(update={"errors": errors})
