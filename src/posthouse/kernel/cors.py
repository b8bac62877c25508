"""CORS, off unless origins are named; outermost, so that errors carry its headers too."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware

from posthouse.kernel.edge import App

_EXPOSED = (
    "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id",
    "Idempotency-Replayed",
    "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm",
    "Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat",
    "Upload-Expires",
)  # fmt: skip


def with_cors(app: App, origins: Sequence[str]) -> App:
    """Let the named origins call `app` from browsers; `*` is never one of them."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_credentials=True,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match",
                       "Accept-Version", "Range", "Tus-Resumable", "Upload-Offset",
                       "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat",
                       "Upload-Checksum", "X-HTTP-Method-Override", "X-Requested-With"],
        expose_headers=list(_EXPOSED),
        max_age=600,
    )  # fmt: skip
