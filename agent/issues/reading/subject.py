"""The service and the host that errors are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.names import (
    CONTAINER_ID,
    DEPLOYMENT_ENVIRONMENT,
    DEPLOYMENT_ENVIRONMENT_BEFORE,
    HOST_NAME,
    OS_TYPE,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.record import LogRecord

LONGEST_SERVICE: Final = 128
MAX_TAGS: Final = 30
"""Attributes of the resource that become tags: an event has room for some more."""
_HOSTS: Final = (HOST_NAME, "k8s.pod.name", CONTAINER_ID, SERVICE_INSTANCE_ID)
_OTHER_FIELDS: Final = frozenset(
    {
        *(SERVICE_NAME, SERVICE_VERSION, SERVICE_INSTANCE_ID, HOST_NAME, OS_TYPE),
        *(DEPLOYMENT_ENVIRONMENT_BEFORE, DEPLOYMENT_ENVIRONMENT),
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
            record.attributes.get(SERVICE_NAME),
            nested.get("name") if isinstance(nested, dict) else None,
            record.origin.attributes.get(SERVICE_NAME),
        )
        return next((name[:LONGEST_SERVICE] for name in named if isinstance(name, str) and name), self.service)


def resource_subject(resource: Mapping[str, str], hostname: str) -> Subject:
    """The subject that a resource describes; `hostname` (the agent's) is used only where the resource names no host."""
    tags = tuple((name, value) for name, value in resource.items() if name not in _OTHER_FIELDS)[:MAX_TAGS]
    return Subject(resource.get(SERVICE_NAME, ""), next((resource[name] for name in _HOSTS if resource.get(name)), hostname), tags)


def titled(service: str, text: str) -> str:
    """The message of an issue that the agent makes itself: the title begins with the service."""
    return f"{service}: {text}" if service else text
