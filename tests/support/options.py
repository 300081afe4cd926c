"""Options of a command, each by its default: the names of proofs and benchmarks that people run by hand."""

import argparse


def parser(about: str | None, **defaults: object) -> argparse.ArgumentParser:
    """`texts=10` is `--texts`, a number; `by_hand=False` is the flag `--by-hand`."""
    options = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in defaults.items():
        kind = (
            {"action": "store_true"}
            if default is False
            else {"type": type(default), "default": default}
        )
        options.add_argument(f"--{name.replace('_', '-')}", **kind)
    return options
