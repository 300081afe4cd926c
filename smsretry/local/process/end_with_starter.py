"""Become a command that ends when whoever started it does.

    python end_with_starter.py PID SIGNAL [UID:GID] CMD ARGS...

On Linux the kernel sends the signal once the starter has died, even by kill -9, or the thread in which it started this.
This file imports the standard library only, because `ChildProcess` runs it without the package.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def main(starter: str, signal_number: str, account: str, *command: str) -> None:
    """Become the command. An OSError says why it cannot be run."""
    uid, _, gid = account.partition(":")
    if uid:  # first, because a process that changes its user forgets the signal
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != int(starter):
        sys.exit("It died before")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
