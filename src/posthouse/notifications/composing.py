"""Templates: write a draft, look at it, publish it; versions never change."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, InvalidInputError, StaleError
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.sandbox import (
    ChildCrashedError,
    ChildMemoryError,
    ChildTimeoutError,
    Sandbox,
    SandboxLimits,
)
from posthouse.notifications.drawers import Layout, Pinned, Template, Version
from posthouse.notifications.errors import (
    InUseError,
    NotificationInvalidError,
    RenderBudgetError,
    TemplateInvalidError,
    TemplateNotFoundError,
    TemplateUnpublishedError,
    TemplateVariableMissingError,
    VersionNotFoundError,
)
from posthouse.notifications.model import Channel, Json, TemplateId
from posthouse.notifications.store import templates as store
from posthouse.notifications.templating import Compiled

_MIB = 1024 * 1024
_LIMITS = SandboxLimits(memory_bytes=1024 * _MIB, cpu_s=3, wall_s=10.0, written_bytes=0)
_CHILD = "posthouse.notifications.drafts"
_KEPT = 256
_REFUSALS: tuple[type[InvalidInputError], ...] = (
    TemplateInvalidError,
    TemplateVariableMissingError,
    RenderBudgetError,
    NotificationInvalidError,
)


@dataclass(frozen=True, slots=True)
class Templates:
    """Templates and their versions. `sandbox` runs what strangers have written."""

    db: Database
    sandbox: Sandbox
    _compiled: OrderedDict[tuple[TemplateId, int], Compiled] = field(
        default_factory=OrderedDict[tuple[TemplateId, int], Compiled]
    )

    async def put(
        self, principal: Principal, key: str, name: str, draft: Json, *, version: int | None = None
    ) -> tuple[Template, bool]:
        """Make a template, or write its draft; what is published stays. Also: whether it is new.

        Raises:
            StaleError: it has another version than `version`.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            if version is not None and await store.find(tx, owner, key) is None:
                raise StaleError("There is no such template yet.")
            new_id = TemplateId(ids.fresh())
            saved = await store.put(tx, new_id, owner, key, name, draft, version)
            if saved is None:
                raise StaleError
            await audit.record(tx, principal, "template.saved", key)
        return saved

    async def find(self, principal: Principal, key: str) -> Template:
        """Find a template.

        Raises:
            TemplateNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            return await _expect(connection, principal.workspace_id, key)

    async def page(self, principal: Principal, keyset: Keyset) -> list[Template]:
        """Read one page of templates by key, and one more."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, keyset)

    async def delete(self, principal: Principal, key: str, *, version: int | None = None) -> None:
        """Delete a template with all its versions, if nothing that waits needs them.

        Raises:
            TemplateNotFoundError: there is none.
            StaleError: it has another version than `version`.
            InUseError: a notification that is made with it has not ended.
        """
        owner = principal.workspace_id
        async with self.db.begin() as tx:
            found = await _expect(tx, owner, key, lock=True)
            if version is not None and version != found.version:
                raise StaleError(f"It has version {found.version} now.")
            if await store.is_needed(tx, owner, found.id):
                raise InUseError("A notification that is made with it has not ended.")
            await store.delete(tx, owner, found.id)
            await audit.record(tx, principal, "template.deleted", key)

    async def publish(
        self, principal: Principal, key: str, *, version: int | None = None
    ) -> tuple[Version, bool]:
        """Compile the draft, and send with it from now on. Also: whether the version is new.

        A draft that is as it was published, with the same layout, gives that version.

        Raises:
            TemplateNotFoundError: there is no such template.
            StaleError: it has another version than `version`, or was changed meanwhile.
            TemplateInvalidError: it does not compile; `fields` names part and line.
            RenderBudgetError: to compile it takes too long.
        """
        owner = principal.workspace_id
        async with self.db.read() as connection:
            draft = await _expect(connection, owner, key)
            if version is not None and version != draft.version:
                raise StaleError(f"It has version {draft.version} now.")
            layout = await _layout_of(connection, owner, draft.draft)
            newest = await store.version(connection, owner, draft.id, None)
        content = {**draft.draft, "layout_source": layout}
        if newest is not None and newest.content == content:
            return await self._publish_again(principal, draft, newest), False
        made = await self._run("compile_draft", {"content": draft.draft, "layout": layout})
        async with self.db.begin() as tx:
            now = await _expect(tx, owner, key, lock=True)
            if now.version != draft.version or now.id != draft.id:
                raise StaleError("Its draft was changed meanwhile.")
            before = await store.version(tx, owner, draft.id, None)
            if before is not None and before.content == content:
                return before, False  # somebody else was faster with the same
            number = 1 if before is None else before.number + 1
            saved = await store.publish(
                tx, owner, draft.id, number, content, made["compiled"], principal.actor
            )
            await audit.record(tx, principal, "template.published", key, {"number": number})
        return saved, True

    async def _publish_again(
        self, principal: Principal, draft: Template, newest: Version
    ) -> Version:
        if draft.published != newest.number:
            async with self.db.begin() as tx:
                owner = principal.workspace_id
                await store.publish_again(tx, owner, draft.id, newest.number)
                detail = {"number": newest.number}
                await audit.record(tx, principal, "template.published", draft.key, detail)
        return newest

    async def version_of(self, principal: Principal, key: str, number: int) -> Version:
        """Find a version of a template.

        Raises:
            TemplateNotFoundError: there is no such template.
            VersionNotFoundError: it has no such version.
        """
        owner = principal.workspace_id
        async with self.db.read() as connection:
            template = await _expect(connection, owner, key)
            found = await store.version(connection, owner, template.id, number)
        if found is None:
            raise VersionNotFoundError
        return found

    async def versions(self, principal: Principal, key: str, keyset: Keyset) -> list[Version]:
        """Read one page of versions, newest first, and one more.

        Raises:
            TemplateNotFoundError: there is no such template.
        """
        owner = principal.workspace_id
        async with self.db.read() as connection:
            template = await _expect(connection, owner, key)
            return await store.versions(connection, owner, template.id, keyset)

    async def preview(
        self,
        principal: Principal,
        key: str,
        channel: Channel,
        data: Json,
        *,
        locale: str | None = None,
        number: int | None = None,
    ) -> Json:
        """Render the draft, or a version, for nobody; give the parts of the message.

        Raises:
            TemplateNotFoundError: there is no such template.
            VersionNotFoundError: it has no such version.
            TemplateInvalidError: it does not compile; `fields` names part and line.
            TemplateVariableMissingError: the data is not what it needs.
            RenderBudgetError: it does too much.
            NotificationInvalidError: what comes out cannot be sent.
        """
        owner = principal.workspace_id
        asked: Json = {"channel": channel, "locale": locale, "data": data}
        async with self.db.read() as connection:
            template = await _expect(connection, owner, key)
            if number is not None:
                compiled = await store.compiled(connection, template.id, number)
                if compiled is None:
                    raise VersionNotFoundError
                asked["compiled"] = compiled
            else:
                layout = await _layout_of(connection, owner, template.draft)
                asked |= {"content": template.draft, "layout": layout}
        return await self._run("preview", asked)

    async def pinned(self, tx: Tx, workspace_id: UUID, key: str) -> Pinned:
        """What a notification with this template is sent with, from now to its end.

        Raises:
            TemplateNotFoundError: there is no such template.
            TemplateUnpublishedError: it has only a draft.
        """
        found = await store.pinned(tx, workspace_id, key)
        if found is None:
            raise TemplateNotFoundError
        template_id, number = found
        if number is None:
            raise TemplateUnpublishedError(
                fields=[FieldProblem("body.template", "unpublished", "publish it first")]
            )
        return Pinned(template_id, number, await self._version(tx, template_id, number))

    async def version(self, template_id: TemplateId, number: int) -> Compiled:
        """What a version was compiled to.

        Raises:
            VersionNotFoundError: it was deleted.
        """
        known = self._known(template_id, number)
        if known is not None:
            return known
        async with self.db.read() as connection:
            return await self._version(connection, template_id, number)

    async def _version(self, tx: Tx, template_id: TemplateId, number: int) -> Compiled:
        known = self._known(template_id, number)
        if known is not None:
            return known
        kept = await store.compiled(tx, template_id, number)
        if kept is None:
            raise VersionNotFoundError
        compiled = Compiled.from_json(kept)
        self._compiled[template_id, number] = compiled
        if len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return compiled

    def _known(self, template_id: TemplateId, number: int) -> Compiled | None:
        known = self._compiled.get((template_id, number))
        if known is not None:
            self._compiled.move_to_end((template_id, number))
        return known

    async def put_layout(
        self, principal: Principal, key: str, source: Json, *, version: int | None = None
    ) -> Layout:
        """Make or change a layout; versions that are published keep the one that they had.

        Raises:
            StaleError: it has another version than `version`.
            TemplateInvalidError: nothing can be put into it; `fields` says why.
            RenderBudgetError: to compile it takes too long.
        """
        await self._run("try_layout", {"source": source})
        async with self.db.begin() as tx:
            owner = principal.workspace_id
            if version is not None and await store.find_layout(tx, owner, key) is None:
                raise StaleError("There is no such layout yet.")
            saved = await store.put_layout(tx, owner, key, source, version)
            if saved is None:
                raise StaleError
            await audit.record(tx, principal, "layout.saved", key)
        return saved

    async def find_layout(self, principal: Principal, key: str) -> Layout:
        """Find a layout.

        Raises:
            TemplateNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            found = await store.find_layout(connection, principal.workspace_id, key)
        if found is None:
            raise TemplateNotFoundError("There is no such layout.")
        return found

    async def layouts(self, principal: Principal, keyset: Keyset) -> list[Layout]:
        """Read one page of layouts by key, and one more."""
        async with self.db.read() as connection:
            return await store.layouts(connection, principal.workspace_id, keyset)

    async def delete_layout(
        self, principal: Principal, key: str, *, version: int | None = None
    ) -> None:
        """Delete a layout; drafts that name it cannot be published until they name another.

        Raises:
            TemplateNotFoundError: there is none.
            StaleError: it has another version than `version`.
        """
        async with self.db.begin() as tx:
            owner = principal.workspace_id
            if await store.find_layout(tx, owner, key) is None:
                raise TemplateNotFoundError("There is no such layout.")
            if not await store.delete_layout(tx, owner, key, version):
                raise StaleError
            await audit.record(tx, principal, "layout.deleted", key)

    async def _run(self, function: str, argument: Json) -> Json:
        """Let a child do it, and raise here what it refused there.

        Raises:
            InvalidInputError: one of `_REFUSALS`, as the child says.
            RenderBudgetError: it took too long, or too much memory.
            TemplateInvalidError: the child crashed.
        """
        try:
            told: Any = await self.sandbox.run(f"{_CHILD}:{function}", argument, _LIMITS)
        except (ChildTimeoutError, ChildMemoryError) as error:
            raise RenderBudgetError("It takes too long, or too much memory.") from error
        except ChildCrashedError as error:
            raise TemplateInvalidError("What compiles it ended over it.") from error
        problem = told.get("problem")
        if problem is not None:
            kind = next(one for one in _REFUSALS if one.code == problem["code"])
            fields = [FieldProblem(**one) for one in problem["fields"]]
            raise kind(problem["detail"], fields=fields)
        return told


async def _expect(tx: Tx, workspace_id: UUID, key: str, *, lock: bool = False) -> Template:
    found = await store.find(tx, workspace_id, key, lock=lock)
    if found is None:
        raise TemplateNotFoundError
    return found


async def _layout_of(tx: Tx, workspace_id: UUID, draft: Json) -> Json | None:
    """The source of the layout that a draft names.

    Raises:
        TemplateInvalidError: there is no such layout.
    """
    key = draft.get("layout")
    if key is None:
        return None
    found = await store.find_layout(tx, workspace_id, key)
    if found is None:
        problem = FieldProblem("layout", "unknown-layout", f"there is no layout {key}")
        raise TemplateInvalidError(fields=[problem])
    return found.source
