"""In the place of the guard: starts the command, and looks after it no more."""

import subprocess
import sys


def main() -> None:
    """As the guard is called."""
    account, _, *command = sys.argv[3:]
    uid, _, gid = account.partition(":")
    as_user = {"user": int(uid), "group": int(gid), "extra_groups": []} if uid else {}
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=False, **as_user)  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
