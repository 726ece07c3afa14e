"""Runs ansible-inventory for many command lines.

Importing Ansible takes most of a run's time, so it is imported once and every command line runs in
a fork of its own. Reads a JSON list of argument lists, writes a JSON list of
{"status", "stdout", "stderr"}.
"""

import json
import os
import sys
import tempfile
import traceback

from ansible.cli.inventory import InventoryCLI


def run(arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            status = 0
            try:
                InventoryCLI.cli_executor(["ansible-inventory", *arguments])
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
                status = 99
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return {
            "status": status,
            "stdout": out.read().decode(),
            "stderr": err.read().decode(errors="replace"),
        }


if __name__ == "__main__":
    json.dump([run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
