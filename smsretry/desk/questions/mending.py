"""What has to be fixed before a text can go on, by why it waits or has ended: what no form or command of ours does."""

from typing import Final

from smsretry.vocabulary import WhyCode

_NUMBER: Final = "in the application (customers.phone of customer {customer})"
_WORDS: Final = "in the application (send_logs.subject of send log {send_log})"

MENDING: Final[dict[WhyCode, str | None]] = {
    # The text itself
    "no_send_log": None,
    "not_sms": "make it a text in the application, if it is one (send_logs.channel of send log {send_log} is sms)",
    "no_customer": None,
    "no_phone": f"give the customer a number {_NUMBER}",
    "number_invalid": f"correct the number {_NUMBER}",
    "no_body": f"write its words {_WORDS}",
    "body_too_long": f"shorten its words {_WORDS}",
    "bad_row": "correct the columns of the row that it names",
    "id_taken": None,
    "row_refused": "fix the trigger or the rule of the application's tables that it names",
    # No longer wanted. Consent is recorded by a form of its own.
    "opted_out": None,
    "already_sent": None,
    "expired": "make sure that it is still of use",
    "not_listed": "let this installation text them (SMSRETRY_SEND_TO), if it should",
    "operator": "make sure that it is wanted after all",
    "application": "make sure that the application took it back by mistake",
    "superseded": None,
    # Waiting
    "quiet_hours": None,
    "daily_cap": None,
    "number_spelling": f"write the number as it says, {_NUMBER}",
    "no_time_zone": "give the customer a time zone in the application, such as America/New_York (customers.timezone of "
    "customer {customer})",
    "no_opening": "widen the business's hours in the application (businesses.sms_hours of business {business}), or "
    "correct the customer's time zone",
    "hours_unreadable": "correct the business's hours in the application (businesses.sms_hours of business {business})",
    "state_stopped": "lift the stop of its state, once that is over",
    "mark_mismatch": "set SMSRETRY_SEND_TO where the worker runs, or say with smsretry mark what the database is",
    "customer_locked": "end the transaction that holds the customer locked, if it goes on",
    "database_trouble": "fix what keeps the database, if it goes on (smsretry doctor)",
    "data_changed": None,
    "sending_stopped": "fix what stopped the sending (smsretry status says what it was)",
    "business_trouble": "fix what the business's texts come to nothing for, as it says",
    "sender_rate": None,
    "sender_paused": "fix what its sender is paused for",
    "day_spent": None,
    "no_credentials": "give the runner credentials for its account",
    "already_queued": None,
    "claim_lost": None,
    # The provider
    "unreachable": "fix the way to the provider, if it goes on (smsretry doctor)",
    "rate_limited": None,
    "account_refused": "fix the account at the provider (smsretry doctor)",
    "refused_for_now": None,
    "refused": "fix what the provider refused",
    "attempts_used_up": None,
    "undelivered": None,
    "delivery_open": None,
    # In doubt
    "in_doubt": None,
    "worker_died": None,
    "restored": None,
    "no_evidence": None,
    "list_unavailable": "fix what keeps the provider's list from being read, as it says",
    "ambiguous": None,
    "unforeseen": "find what the error was, in the log of its run, and fix it",
}
"""None: there is nothing to fix first."""

FORESEEN: Final[frozenset[WhyCode]] = frozenset(
    {"number_spelling", "no_time_zone", "no_opening", "hours_unreadable", "state_stopped", "sender_paused"}
)
"""Whether these still stand is decided by what a claim reads, so a prediction knows when they are fixed."""

_ASK_PROVIDER: Final = "ask the provider what is wrong with its sender (smsretry senders check {name}) and fix that"
OF_SENDER: Final[dict[str, tuple[str | None, str, str]]] = {
    "sender_paused": (None, "let its sender send again, once that is fixed", "resume"),
    "no_credentials": ("give the runner credentials for account {account}", "let its sender try again now", "resume"),
    "day_spent": (None, "raise its sender's cap, if the carriers take more in a day", "change"),
    "account_refused": (_ASK_PROVIDER, "let it send again", "resume"),
    "sending_stopped": (_ASK_PROVIDER, "let it send again", "resume"),
}
"""What is about the business's own sender: what to fix, what then to do, and the order of `smsretry senders`."""
