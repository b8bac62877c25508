"""The JSON routes of topics."""

from typing import Annotated

from fastapi import Depends, Path

from posthouse.kernel.auth import Principal
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.notifications.errors import MembersUnknownError, TopicNotFoundError
from posthouse.notifications.model import READ, WRITE
from posthouse.notifications.people import Topics
from posthouse.notifications.schemas.recipients import (
    KEY_PATTERN,
    MemberOut,
    MembersChanged,
    MembersIn,
    TopicIn,
    TopicOut,
    show_member,
    show_topic,
)

routes = Routes.of("topics")

the_topics = service(Topics)

Caller = Annotated[Principal, Depends(current_principal)]
TopicsDep = Annotated[Topics, Depends(the_topics)]
TopicPath = Annotated[str, Path(pattern=KEY_PATTERN, description="The key of a topic.")]


@routes.add("PUT", "/topics/{topic_key}", needs=WRITE, response_model=TopicOut,
            summary="Make or name a topic")  # fmt: skip
async def put(topic_key: TopicPath, body: TopicIn, caller: Caller, topics: TopicsDep) -> TopicOut:
    """Make a topic, or give the one with this key another name."""
    return show_topic(await topics.put(caller, topic_key, body.name))


@routes.get("/topics", needs=READ, response_model=Page[TopicOut], summary="List topics")
async def list_topics(caller: Caller, paging: PagingDep, topics: TopicsDep) -> Page[TopicOut]:
    """List topics by key."""
    found = await topics.page(caller, paging.keyset)
    return paging.page(found, key=lambda one: (one.key,), show=show_topic)


@routes.get("/topics/{topic_key}", needs=READ, raises=(TopicNotFoundError,),
            response_model=TopicOut, summary="Show a topic")  # fmt: skip
async def find(topic_key: TopicPath, caller: Caller, topics: TopicsDep) -> TopicOut:
    """Show a topic."""
    return show_topic(await topics.find(caller, topic_key))


@routes.delete("/topics/{topic_key}", needs=WRITE, raises=(TopicNotFoundError,),
               summary="Delete a topic")  # fmt: skip
async def delete(topic_key: TopicPath, caller: Caller, topics: TopicsDep) -> None:
    """Delete a topic; who is in it stays a recipient."""
    await topics.delete(caller, topic_key)


@routes.get("/topics/{topic_key}/members", needs=READ, raises=(TopicNotFoundError,),
            response_model=Page[MemberOut], summary="List members")  # fmt: skip
async def list_members(
    topic_key: TopicPath, caller: Caller, paging: PagingDep, topics: TopicsDep
) -> Page[MemberOut]:
    """List who is in a topic."""
    found = await topics.members(caller, topic_key, paging.keyset)
    return paging.page(found, key=lambda one: (str(one[0]),), show=show_member)


@routes.post("/topics/{topic_key}/members", needs=WRITE, response_model=MembersChanged,
             raises=(TopicNotFoundError, MembersUnknownError), summary="Add members")  # fmt: skip
async def add(
    topic_key: TopicPath, body: MembersIn, caller: Caller, topics: TopicsDep
) -> MembersChanged:
    """Put up to 1,000 recipients into a topic, all or none."""
    return MembersChanged(changed=await topics.add(caller, topic_key, body.recipients))


@routes.post("/topics/{topic_key}/members/remove", needs=WRITE, response_model=MembersChanged,
             raises=(TopicNotFoundError, MembersUnknownError),
             summary="Remove members")  # fmt: skip
async def remove(
    topic_key: TopicPath, body: MembersIn, caller: Caller, topics: TopicsDep
) -> MembersChanged:
    """Take up to 1,000 recipients out of a topic, all or none."""
    return MembersChanged(changed=await topics.remove(caller, topic_key, body.recipients))
