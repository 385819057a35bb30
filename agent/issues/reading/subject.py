"""The service and the host that errors are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.record import LogRecord

LONGEST_SERVICE: Final = 128
MAX_TAGS: Final = 30
"""Attributes of the resource that become tags: an event has room for some more."""
_HOSTS: Final = ("host.name", "k8s.pod.name", "container.id", "service.instance.id")
_OTHER_FIELDS: Final = frozenset(
    {
        *("service.name", "service.version", "service.instance.id", "host.name", "os.type"),
        *("deployment.environment", "deployment.environment.name"),
    }
)
"""Attributes of the resource that other fields of an event hold."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The configured service, and where it runs."""

    service: str
    server_name: str
    tags: tuple[tuple[str, str], ...] = ()
    """The other attributes of its resource."""

    def service_of(self, record: LogRecord) -> str:
        """The service that a record is about: it may name one itself (`service.name`, flat or nested as in ECS)."""
        nested = record.attributes.get("service")
        named = (
            record.attributes.get("service.name"),
            nested.get("name") if isinstance(nested, dict) else None,
            record.origin.attributes.get("service.name"),
        )
        return next((name[:LONGEST_SERVICE] for name in named if isinstance(name, str) and name), self.service)


def resource_subject(resource: Mapping[str, str], hostname: str) -> Subject:
    """The subject that a resource describes; `hostname` (the agent's) is used only where the resource names no host."""
    tags = tuple((name, value) for name, value in resource.items() if name not in _OTHER_FIELDS)[:MAX_TAGS]
    return Subject(resource.get("service.name", ""), next((resource[name] for name in _HOSTS if resource.get(name)), hostname), tags)


def titled(service: str, text: str) -> str:
    """The message of an issue that the agent makes itself: the title begins with the service."""
    return f"{service}: {text}" if service else text
