"""The one failure of the embedded servers: its message says what is the case and what to do."""


class EmbeddedError(Exception):
    """A server cannot be found, started or kept."""
