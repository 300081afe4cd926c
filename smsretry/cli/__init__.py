"""The command `smsretry`: its commands, and how they parse and print. Each imports only what it needs."""


def main() -> None:
    """Run the command, and exit."""
    from smsretry.cli.command import app

    app(prog_name="smsretry")
