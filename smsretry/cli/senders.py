"""`smsretry senders`: who texts for whom. Orders are kept on record with who gave them, and why."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from smsretry.cli.parsing import Json, fill_form, login_name, parse_id, read_sender
from smsretry.cli.printing import patient, print_json, print_lines, print_note, print_text
from smsretry.vocabulary import MessageClass

if TYPE_CHECKING:
    from smsretry.desk.actions.senders import SenderOrder
    from smsretry.desk.desk import Desk
    from smsretry.desk.questions.senders import CheckedSender

_Business = Annotated[UUID | None, typer.Option(metavar="ID", parser=parse_id, help="Only those of this business.")]
_OfBusiness = Annotated[UUID, typer.Argument(metavar="BUSINESS", parser=parse_id, help="Id of the business.")]
_Sender = Annotated[
    str,
    typer.Argument(metavar="SENDER", help="Its id, its SID, or its number; - reads a number from standard input."),
]
_Class = Annotated[
    MessageClass | None,
    typer.Option("--class", metavar="CLASS", help="marketing or transactional; without it, both."),
]
_Rate = Annotated[float | None, typer.Option(metavar="N", help="Segments a second, 0.01 to 1000.")]
_Cap = Annotated[int | None, typer.Option(metavar="N", help="Segments a day, from midnight Pacific time on.")]
_Because = Annotated[str, typer.Option(metavar="WORDS", help="Why. It is kept.")]
_Who = Annotated[str | None, typer.Option(metavar="NAME", help="Who does it; your login name by default. It is kept.")]


def list_(
    business: _Business = None,
    troubled: Annotated[bool, typer.Option("--troubled", help="Only those that need somebody.")] = False,
    as_json: Json = False,
) -> None:
    """List the senders: whose they are, what they send, and what waits for them."""
    from smsretry.desk.actions.senders import WhichSenders
    from smsretry.wiring import reading_desk

    request = fill_form(WhichSenders, {"business": business, "troubled": troubled})
    with reading_desk() as connected:
        senders = connected.senders(request)
    _tell(senders, as_json=as_json)


def check(
    business: _Business = None,
    sender: Annotated[
        str | None, typer.Argument(metavar="[SENDER]", help="Only this one: its id, SID or number, or -.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the provider whether the senders can send: credentials, account, number or service. Sends nothing."""
    from smsretry.desk.actions.senders import WhichSenders
    from smsretry.wiring import desk

    request = fill_form(WhichSenders, {"business": business}, check=True)
    with desk() as connected:
        name = _name(connected, sender) if sender else None
        senders = connected.senders(request, named=name)
    if name and not senders:
        raise typer.BadParameter("there is no such sender: `smsretry senders list` lists them")
    _tell(senders, as_json=as_json)
    if any(not finding.ok for one in senders for finding in one.findings):
        raise typer.Exit(1)


def add(
    business: _OfBusiness,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="SID of the account that owns the sender.")],
    sender: Annotated[
        str,
        typer.Argument(
            metavar="SENDER", help="SID of its messaging service, or its number; - reads a number from standard input."
        ),
    ],
    because: _Because,
    message_class: _Class = None,
    rate: _Rate = None,
    cap: _Cap = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a sender that is active.")] = False,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not ask the provider first.")] = False,
    who: _Who = None,
    as_json: Json = False,
) -> None:
    """Give a business a sender of its own, once the provider says that it can send. Others may share it."""
    from smsretry.desk.actions.senders import AddAnySender
    from smsretry.wiring import desk

    given = {
        "business": business,
        "account": account,
        "sent_by": read_sender(sender),
        "message_class": message_class,
        "segments_per_second": rate,
        "segments_per_day": cap,
        "replace": replace,
        "unchecked": unchecked,
        "because": because,
    }
    request = fill_form(AddAnySender, given, who=who or login_name())
    with desk(patience=patient()) as connected:
        changed = connected.add_sender(request)
    if as_json:
        print_json(changed)
    else:
        print_lines(changed.lines("added"))


def change(
    sender: _Sender,
    because: _Because,
    rate: _Rate = None,
    cap: _Cap = None,
    no_rate: Annotated[bool, typer.Option("--no-rate", help="It has no rate any more.")] = False,
    no_cap: Annotated[bool, typer.Option("--no-cap", help="It has no cap any more.")] = False,
    who: _Who = None,
    as_json: Json = False,
) -> None:
    """Give a sender another rate or cap, for all who share it."""
    from smsretry.desk.actions.senders import ChangeSender

    gone = {"segments_per_second": no_rate, "segments_per_day": no_cap}
    if rate is None and cap is None and not (no_rate or no_cap):
        raise typer.BadParameter("say what changes: --rate, --cap, --no-rate or --no-cap")
    if (rate is not None and no_rate) or (cap is not None and no_cap):
        raise typer.BadParameter("give one of --rate and --no-rate, and one of --cap and --no-cap")
    given = {
        "segments_per_second": rate,
        "segments_per_day": cap,
        "unlimited": [name for name, wanted in gone.items() if wanted],
    }
    _order(ChangeSender, given, sender, because, who, done="changed", as_json=as_json)


def pause(sender: _Sender, because: _Because, who: _Who = None, as_json: Json = False) -> None:
    """Let a sender's texts wait, visibly, until it is resumed."""
    from smsretry.desk.actions.senders import PauseSender

    _order(PauseSender, {}, sender, because, who, done="paused", as_json=as_json)


def resume(sender: _Sender, because: _Because, who: _Who = None, as_json: Json = False) -> None:
    """Let a sender send again, because what was wrong is mended. Its texts that waited are due at once."""
    from smsretry.desk.actions.senders import ResumeSender

    _order(ResumeSender, {}, sender, because, who, done="resumed", as_json=as_json)


def remove(
    business: _OfBusiness, because: _Because, message_class: _Class = None, who: _Who = None, as_json: Json = False
) -> None:
    """Let a business's texts go out from the sender of the environment again."""
    from smsretry.desk.actions.senders import RemoveSender

    given = {"business": business, "message_class": message_class}
    _order(RemoveSender, given, None, because, who, done="removed", as_json=as_json)


def _order(
    form: "type[SenderOrder]",
    given: Mapping[str, object],
    sender: str | None,
    because: str,
    who: str | None,
    *,
    done: str,
    as_json: bool,
) -> None:
    from smsretry.wiring import desk

    with desk(patience=patient()) as connected:
        named = {} if sender is None else {"sender": _name(connected, sender)}
        changed = connected.order_sender(
            fill_form(form, {**given, **named, "because": because}, who=who or login_name())
        )
    if as_json:
        print_json(changed)
    else:
        print_lines(changed.lines(done))


def _name(desk: "Desk", sender: str) -> str:
    """What names it in an order: a number is replaced by the sender's id."""
    sender = read_sender(sender)
    if not sender.startswith("+"):
        return sender
    ids = [str(one.sender_id) for one in desk.records.senders() if one.sent_by == sender and one.sender_id]
    if len(ids) != 1:
        what = "two senders have" if ids else "no sender has"
        raise typer.BadParameter(f"{what} this number: `smsretry senders list` lists them with their ids")
    return ids[0]


def _tell(senders: "list[CheckedSender]", *, as_json: bool) -> None:
    if as_json:
        print_json([one.model_dump(mode="json") for one in senders])
        return
    for one in senders:
        headline, *lines = one.lines()
        print_text(headline, style="bold" if one.troubled else "")
        print_lines(lines)
    if not senders:
        print_note("No sender is as was asked.")
