"""The command `smsretry`: each of its commands, and how it reads and shows. Only what a command needs is imported."""


def main() -> None:
    """Run the command, and exit."""
    from smsretry.cli.command import app

    app(prog_name="smsretry")
