"""Ctrl-C at any moment: nothing runs on, nothing of anybody else's is deleted, nobody sees a traceback."""
