"""The demo's businesses that text from senders of their own, each in a subaccount, as Twilio asks of a platform."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from smsretry.local.business import Business
from smsretry.local.demo.people import Special
from smsretry.local.stack import Stack
from smsretry.local.twilio.accounts import Account


@dataclass(frozen=True, slots=True)
class OwnSender:
    """A business, its messaging service in its subaccount, and what it says to whom."""

    business: str
    account: str
    service: str
    number: str
    body: str
    phones: Mapping[str, str]
    """Numbers by customer."""
    is_suspended: bool = False

    @property
    def customers(self) -> tuple[Special, ...]:
        """Whom it texts in the demo."""
        return tuple(
            Special(name, phone, body=self.body) for name, phone in self.phones.items()
        )


HARBOR: Final = OwnSender(
    "Harbor Cycle Works",
    account=f"AC{1:032x}",
    service=f"MG{1:032x}",
    number="+12125550190",
    body="Hi {name}, your bike is ready. Thanks for choosing Harbor Cycle Works!",
    phones={"Nora": "+12125550182", "Owen": "+12125550183"},
)
PILATES: Final = OwnSender(
    "Pine Street Pilates",
    account=f"AC{2:032x}",
    service=f"MG{2:032x}",
    number="+12125550191",
    body="Hi {name}, thanks for coming to Pine Street Pilates. Shall we book your next class?",
    phones={"Lena": "+12125550184", "Mona": "+12125550185"},
    is_suspended=True,
)
OWN_SENDERS: Final = (HARBOR, PILATES)


def open_accounts(stack: Stack) -> None:
    """Open their accounts at the Twilio stand-in, which forgets them when it stops. The stack's token serves them."""
    for sender in OWN_SENDERS:
        account = Account(
            sid=sender.account,
            auth_token=secrets.token_hex(16),
            numbers={sender.number},
            services={sender.service: {sender.number}},
            owner=stack.twilio.accounts.main,
            status="suspended" if sender.is_suspended else "active",
        )
        stack.twilio.accounts.add(account)


def give_sender(business: Business, sender: OwnSender) -> None:
    """Let the business text from its own sender."""
    business.connection.execute(
        "select from add_sms_sender(%s, %s, %s, who => 'the demo', because => 'Each business has its own sender')",
        [business.id, sender.account, sender.service],
    )
