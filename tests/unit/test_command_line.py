"""What the command `smsretry` says of itself, and how it refuses what it is told."""

import re
from importlib.metadata import version
from typing import Any

import typer.main
from typer.testing import CliRunner, Result

from smsretry.cli.command import app
from tests.support.records import Record

_COMMANDS: Any = typer.main.get_command(app)
NAMES = sorted(_COMMANDS.commands)
EACH: Record = {
    f"{name} {part}".strip(): command
    for name in NAMES
    for part, command in getattr(
        _COMMANDS.commands[name], "commands", {"": _COMMANDS.commands[name]}
    ).items()
}


def ask(*arguments: str, columns: int = 80, stdin: str | None = None) -> Result:
    """Run a command in a terminal of that width."""
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(
        app, arguments, input=stdin, prog_name="smsretry"
    )


def test_the_help_of_each_command_has_an_example_and_names_every_option() -> None:
    """Nothing is cut, and no id is broken over two lines."""
    for name, command in EACH.items():
        answer = ask(*name.split(), "--help", columns=80)
        assert answer.exit_code == 0
        assert re.search(rf"^ *smsretry {name}\b", answer.output, re.MULTILINE), (
            "an example"
        )
        assert max(map(len, answer.output.splitlines())) == 80
        assert "…" not in answer.output
        for option in (option for param in command.params for option in param.opts):
            assert option.startswith("--") is False or option in answer.output
        _, *examples, _ = command.epilog.replace("\\[", "[").split("\n\n")
        assert {example.strip() for example in examples} <= {
            line.strip() for line in answer.output.splitlines()
        }
        assert "Exit codes: 0 " in answer.output


ID = "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"


def test_without_a_command_the_help_is_shown_and_nothing_else() -> None:
    """The exit code says that nothing was done. It names its version when it is asked."""
    result = ask()
    assert (result.exit_code, result.stderr) == (64, "")
    assert result.stdout.split() == ask("--help").stdout.split()
    assert ask("--version").output == f"smsretry {version('smsretry')}\n"


REFUSED: dict[str, str] = {
    "explian": "No such command 'explian'. Did you mean 'explain'?",
    "explain": "Missing argument 'ID'",
    "explain Zane": "ID must be an id of 36 characters",
    "explain 212-555": "ID The country or the area code of this number is not known",
    "texts list --customer Zane": "--customer must be an id of 36 characters",
    f"texts cancel --row {ID} --because 212-555-0123": "--because must be words without a phone number",
    f"texts resolve --row {ID} --went-out-as nothing": "--because must be given",
    f"texts resolve --row {ID} --went-out-as SM1 --because x": "--went-out-as must be an id, as the provider shows it",
    "consent - --said maybe --source letter --because x": "'maybe' is not one of 'opted_in', 'opted_out', 'unchanged'",
    f"texts cancel --row {ID} --because=": "--because must not be empty",
    f"texts cancel --row {ID} --yes": "--because must be given: it is kept with each text",
    "after-restore --backup-of 2026-11-24 --yes": "--because must be given",
    "import-opt-outs stops.csv --business all --yes": "--because must be given",
    "texts list": "say which texts: by --row, --business, --customer, --code, --why, --state, "
    "--send, --sender, --needs-person, --due-by, --since or --until",
    "texts requeue --state failed": "say which texts: by --row, --business, --customer",
    "texts list --business x --limit 501": "--limit must be less than or equal to 500",
    "senders change MG1 --because x": "SENDER must be an id",
    f"senders change {ID} --because x": "say what changes: --rate, --cap or --paused",
    "consent +12125550123 --said opted_in --source x --because x": "CUSTOMER must be the customer's id there",
    "prune --keep-days 6": "--keep-days must be greater than or equal to 7",
    "stop LA": "--because must be given",
    "stop --because=x": "say what: STATE or --business",
    "stop LA --because= --lift": "--because must not be empty",
    "stop XX --lift --because=x": "STATE must be the two letters of a US state, such as LA",
    "quiet-hours +13055550123 --business-hours 9-to-5": "--business-hours '9-to-5'",
}


def test_a_command_line_that_makes_no_sense_is_refused_in_words_of_its_options() -> (
    None
):
    """On standard error, with an exit code that no answer has, and before anything is connected."""
    for line, words in REFUSED.items():
        arguments = line.split()
        refused = ask(*arguments, columns=80, stdin="")
        assert (refused.exit_code, refused.stdout) == (64, ""), line
        message = re.sub(r"\s+", " ", refused.stderr)
        assert words in message, line
        assert all(len(line) <= 80 for line in refused.stderr.splitlines())
        assert (
            re.search(rf"Try: smsretry {arguments[0]}( [a-z-]+)? --help $", message)
            or line == "explian"
        ), line
