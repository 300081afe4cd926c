"""Where the command `smsretry` begins, and `python -m smsretry`: Ctrl-C during the imports ends it in one line."""


def main() -> None:
    """Run the command. Exit code 130 after Ctrl-C."""
    try:
        from smsretry.local.process.interrupt import end_at_once, ignore

        put_back = end_at_once()
        from smsretry.cli import main as command

        put_back()
        try:
            command()
        finally:
            ignore()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
