"""The entry point of the command `smsretry` and of `python -m smsretry`."""


def main() -> None:
    """Run the command. Ctrl-C, SIGTERM and a closed terminal end it at once and in one line, even while it loads.

    `demo` and `up` first end what they have started, and `process` finishes the sends that are under way.
    """
    try:
        from smsretry.local.process.interrupt import end_at_once, ignore

        end_at_once()
        from smsretry.cli import main as command

        try:
            command()
        finally:
            ignore()
    except KeyboardInterrupt:  # before the line that handles it
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
