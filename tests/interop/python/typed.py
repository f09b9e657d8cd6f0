"""Runs a command at a terminal of its own and types a line at each prompt: typed.py COMMAND… -- PROMPT LINE …

Ends with the command's exit code; what the terminal showed goes to stdout. A backspace in a line is a key like others."""

import os
import pty
import sys
import time

divider = len(sys.argv) - 1 - sys.argv[::-1].index("--")
command, typed = sys.argv[1:divider], sys.argv[divider + 1 :]
prompts = list(zip(typed[::2], typed[1::2]))
process, terminal = pty.fork()
if process == 0:
    os.execvp(command[0], command)
shown, since = b"", 0
while True:
    try:
        read = os.read(terminal, 4096)
    except OSError:
        break
    if not read:
        break
    shown += read
    if prompts and prompts[0][0].encode() in shown[since:]:
        since = len(shown)
        time.sleep(0.5)  # a console that still draws its prompt drops what is typed before it has
        os.write(terminal, prompts.pop(0)[1].encode() + b"\r")
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) if not prompts else 3)
