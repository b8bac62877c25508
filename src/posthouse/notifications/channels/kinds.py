"""The one list of kinds of providers."""

from collections.abc import Mapping

from posthouse.notifications.channels import (
    console,
    fcm,
    ses,
    sesreceipts,
    smtp,
    twilio,
    twilioreceipts,
    webpush,
)
from posthouse.notifications.channels.emailing import EmailSecrets, SmtpOptions, SmtpSecrets
from posthouse.notifications.channels.protocol import ProviderKind
from posthouse.notifications.model import Channel

_ALL = (
    ProviderKind("smtp", Channel.EMAIL, SmtpOptions, SmtpSecrets, smtp.open_smtp),
    ProviderKind(
        "ses",
        Channel.EMAIL,
        ses.SesOptions,
        ses.SesSecrets,
        ses.open_ses,
        sesreceipts.open_receiver,
    ),
    ProviderKind(
        "twilio",
        Channel.SMS,
        twilio.TwilioOptions,
        twilio.TwilioSecrets,
        twilio.open_twilio,
        twilioreceipts.open_receiver,
    ),
    ProviderKind("fcm", Channel.PUSH, fcm.FcmOptions, fcm.FcmSecrets, fcm.open_fcm),
    ProviderKind(
        "webpush",
        Channel.PUSH,
        webpush.WebPushOptions,
        webpush.WebPushSecrets,
        webpush.open_webpush,
        complete=webpush.complete,
    ),
    ProviderKind(
        "console-email",
        Channel.EMAIL,
        console.ConsoleEmailOptions,
        EmailSecrets,
        console.open_email,
    ),
    ProviderKind(
        "console-sms",
        Channel.SMS,
        console.ConsoleOptions,
        console.ConsoleSecrets,
        console.open_sms,
    ),
    ProviderKind(
        "console-push",
        Channel.PUSH,
        console.ConsoleOptions,
        console.ConsoleSecrets,
        console.open_push,
    ),
)

KINDS: Mapping[str, ProviderKind] = {kind.name: kind for kind in _ALL}
