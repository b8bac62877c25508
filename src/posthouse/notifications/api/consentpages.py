"""The routes of the pages for those who get messages: anybody with the address may call them.

Looking changes nothing, so mail scanners and prefetching browsers do no harm; only a POST acts.
Sources: RFC 8058 (one click), RFC 2369 (List-Unsubscribe).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import time
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, Path, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from posthouse.kernel.errors import (
    InvalidInputError,
    NotFoundError,
    PosthouseError,
    UnavailableError,
)
from posthouse.kernel.problems import MEDIA_TYPE
from posthouse.kernel.routing import Routes, service
from posthouse.notifications import screens
from posthouse.notifications.choices import Category, Key, Preferences, general
from posthouse.notifications.consenting import Consents
from posthouse.notifications.consentlinks import (
    PREFERENCES,
    UNSUBSCRIBE,
    Consent,
    ConsentLinks,
    Purpose,
)
from posthouse.notifications.contacts import QuietHours
from posthouse.notifications.errors import RecipientNotFoundError
from posthouse.notifications.model import Channel, RecipientId

RATE = "consent"
_MAX_TOKEN = 2_000
_MAX_PART = 65_536
_MAX_FIELDS = 5_000  # a thousand categories have three boxes each
_ONE_CLICK = ("List-Unsubscribe", "One-Click")

routes = Routes.of("preference pages")


@dataclass(frozen=True, slots=True)
class ConsentPages:
    """Answers those who come with an address out of a message."""

    consents: Consents
    links: ConsentLinks

    async def show_unsubscribe(self, request: Request, token: str) -> Response:
        """Ask; change nothing."""
        consent = self.links.read(Purpose.UNSUBSCRIBE, token)
        return await self._unsubscribe_page(request, consent, is_done=False)

    async def unsubscribe(self, request: Request, token: str) -> Response:
        """Do it, and answer when nothing against it is under way.

        Raises:
            InvalidInputError: the form says nothing of it.
        """
        consent = self.links.read(Purpose.UNSUBSCRIBE, token)
        form = await _read_form(request)
        if form.get(_ONE_CLICK[0]) != _ONE_CLICK[1]:
            raise InvalidInputError("The form must say List-Unsubscribe=One-Click.")
        await self.consents.unsubscribe(consent)
        return await self._unsubscribe_page(request, consent, is_done=True)

    async def show_preferences(self, request: Request, token: str) -> Response:
        """Show what somebody gets; change nothing."""
        consent = self.links.read(Purpose.PREFERENCES, token)
        _, chosen, categories = await self._chosen(consent)
        return screens.preferences(request.url.path, screens.rows_of(categories, chosen), chosen)

    async def save_preferences(self, request: Request, token: str) -> Response:
        """Save what somebody wants, and answer when nothing against it is under way.

        Raises:
            InvalidInputError: it is not the form of the page.
        """
        consent = self.links.read(Purpose.PREFERENCES, token)
        form = await _read_form(request)
        if not {"quiet_from", "quiet_until"} <= form.keys():
            raise InvalidInputError("The form is not that of the page.")
        recipient_id, before, categories = await self._chosen(consent)
        choices = _choices(form, categories)
        typed = (form.get("quiet_from", ""), form.get("quiet_until", ""))
        try:
            quiet = _quiet_hours(*typed)
        except ValueError:
            wanted = Preferences("stopped" in form, before.quiet_hours, choices)
            return screens.preferences(
                request.url.path,
                screens.rows_of(categories, wanted),
                wanted,
                problem="Quiet hours need a beginning and another end, such as 22:00 and 07:00.",
                quiet=typed,
            )
        wanted = Preferences("stopped" in form, quiet, choices)
        await self.consents.choose(consent.workspace_id, recipient_id, wanted)
        return screens.preferences(
            request.url.path, screens.rows_of(categories, wanted), wanted, is_saved=True
        )

    async def _chosen(self, consent: Consent) -> tuple[RecipientId, Preferences, list[Category]]:
        if consent.recipient_id is None:
            raise RecipientNotFoundError
        found = await self.consents.preferences(consent.workspace_id, consent.recipient_id)
        recipient, chosen, categories = found
        return recipient.id, chosen, categories

    async def _unsubscribe_page(
        self, request: Request, consent: Consent, *, is_done: bool
    ) -> Response:
        category = await self.consents.named(consent.workspace_id, consent.category)
        channel = consent.channel or Channel.EMAIL
        path = request.url.path
        return screens.unsubscribe(path, category or general(), channel, is_done=is_done)


async def _read_form(request: Request) -> Mapping[str, str]:
    """Read a form of either kind (RFC 8058 allows both); the last of a name counts.

    Raises:
        InvalidInputError: it is no form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        try:
            async with request.form(
                max_files=0, max_fields=_MAX_FIELDS, max_part_size=_MAX_PART
            ) as form:
                return {name: str(value) for name, value in form.multi_items()}
        except HTTPException as error:  # Starlette's, for what it cannot read
            raise InvalidInputError("The form cannot be read.") from error
    try:
        text = (await request.body()).decode("utf-8")
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise InvalidInputError("The form cannot be read.") from error
    return {name: values[-1] for name, values in found.items()}


def _choices(form: Mapping[str, str], categories: list[Category]) -> dict[Key, bool]:
    return {
        (one.key, channel.value): screens.field_of(one.key, channel) in form
        for one in categories
        # One that was made while the page was open has no boxes on it.
        if not one.is_critical and screens.shown_field(one.key) in form
        for channel in Channel
    }


def _quiet_hours(start: str, end: str) -> QuietHours | None:
    """Read the two times.

    Raises:
        ValueError: one is missing or none, or they are the same.
    """
    if not start and not end:
        return None
    hours = QuietHours(_clock(start), _clock(end))
    if hours.start == hours.end:
        raise ValueError("no time between them")
    return hours


def _clock(text: str) -> time:
    if len(text) != len("22:00"):
        raise ValueError("no time of day")
    return time.fromisoformat(text)


the_pages = service(ConsentPages)
PagesDep = Annotated[ConsentPages, Depends(the_pages)]
TokenPath = Annotated[str, Path(max_length=_MAX_TOKEN, description="Out of a message.")]
Answer = Callable[[Request, str], Awaitable[Response]]


async def show_unsubscribe(token: TokenPath, request: Request, its: PagesDep) -> Response:
    """Show who would leave what; nothing is changed."""
    return await _answered(its.show_unsubscribe, request, token)


async def unsubscribe(token: TokenPath, request: Request, its: PagesDep) -> Response:
    """Leave a category at once: the one click of RFC 8058."""
    return await _answered(its.unsubscribe, request, token)


async def show_preferences(token: TokenPath, request: Request, its: PagesDep) -> Response:
    """Show what a recipient gets; nothing is changed."""
    return await _answered(its.show_preferences, request, token)


async def save_preferences(token: TokenPath, request: Request, its: PagesDep) -> Response:
    """Save what a recipient wants."""
    return await _answered(its.save_preferences, request, token)


async def _answered(answer: Answer, request: Request, token: str) -> Response:
    """Answer, or say what failed on a page."""
    try:
        return await answer(request, token)
    except PosthouseError as error:
        return screens.failure(request, error)


_HTML = {"text/html": {"schema": {"type": "string"}}}
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PAGES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page.", "content": _HTML},
    404: {"description": "The address was not made here.", "content": _HTML | _PROBLEM},
    422: {"description": "The form says nothing of use.", "content": _HTML | _PROBLEM},
    503: {"description": "Try again soon.", "content": _HTML | _PROBLEM},
}

for _method, _path, _endpoint, _summary in (
    ("GET", UNSUBSCRIBE, show_unsubscribe, "Look at an unsubscribe page"),
    ("HEAD", UNSUBSCRIBE, show_unsubscribe, "Look whether the page is there"),
    ("POST", UNSUBSCRIBE, unsubscribe, "Unsubscribe with one click"),
    ("GET", PREFERENCES, show_preferences, "Look at a preference page"),
    ("HEAD", PREFERENCES, show_preferences, "Look whether preferences are there"),
    ("POST", PREFERENCES, save_preferences, "Save preferences from the page"),
):
    routes.add(
        _method,
        _path + "/{token}",
        needs=None,
        rate=RATE,
        raises=(NotFoundError, UnavailableError),
        is_idempotent=False,
        reads_json=False,
        takes_any_query=True,
        responses=_PAGES,
        response_class=Response,
        summary=_summary,
    )(_endpoint)
