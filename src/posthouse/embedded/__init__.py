"""Postgres and Valkey from their wheels, started and kept by us: a machine needs only Python."""

from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.servers import Endpoints, embedded_servers

__all__ = ["EmbeddedError", "Endpoints", "embedded_servers"]
