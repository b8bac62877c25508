"""CORS, off unless origins are named; outermost, so that errors carry its headers too."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware

from posthouse.kernel.edge import App

_EXPOSED = (
    "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id",
    "Idempotency-Replayed",
)  # fmt: skip


def with_cors(app: App, origins: Sequence[str]) -> App:
    """Let the named origins call `app` from browsers; `*` is never one of them."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match",
                       "Accept-Version"],
        expose_headers=list(_EXPOSED),
        max_age=600,
    )  # fmt: skip
