"""A provider is handed no more messages in a second than it was set up for."""

from tests.notifications.conftest import Sending, fresh_email
from tests.notifications.mailserver import MailServer


async def test_no_more_go_out_than_the_rate_allows(sending: Sending, mail: MailServer) -> None:
    await sending.provider(mail, at_once=8, rate_per_s=10)
    accepted = await sending.send([{"email": fresh_email()} for _ in range(30)])
    await sending.until(accepted["job_id"])
    taken = sorted(one.at for one in mail.mails)
    assert len(taken) == 30
    # Ten at once, then one each tenth of a second; a delay before the first makes none later.
    assert all(later - first > 0.9 for first, later in zip(taken, taken[20:], strict=False))


async def test_a_rate_that_is_slower_than_a_lease_lasts_costs_no_attempt_and_no_doubt(
    sending: Sending, mail: MailServer
) -> None:
    await sending.provider(mail, at_once=1, rate_per_s=0.25)
    accepted = await sending.send([{"email": fresh_email()} for _ in range(2)])
    # The first answer is noted before the wait for the second.
    shown = await sending.until(accepted["job_id"], "sent", within_s=2.5)
    assert shown["counts"] == {"sent": 1, "leased": 1}
    shown = await sending.until(accepted["job_id"])
    assert [(one["tries"], one["doubts"]) for one in shown["deliveries"]] == [(1, 0), (1, 0)]
    assert len(mail.mails) == 2
