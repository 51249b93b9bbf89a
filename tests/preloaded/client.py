# What a command of `Preloaded.folder` is: it hands its arguments, folder, environment and streams to the server, passes
# signals on, and ends as the program does. ADDRESS and NAME are written above.
import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main():
    server = socket.socket(socket.AF_UNIX)
    server.connect(ADDRESS)  # noqa: F821
    environment = {os.fsdecode(key): os.fsdecode(value) for key, value in os.environb.items()}
    call = {"argv": [NAME, *sys.argv[1:]], "folder": os.getcwd(), "environment": environment}  # noqa: F821, PTH109
    content = json.dumps(call).encode("utf-8")
    # No signal is lost between the program's start and the handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    socket.send_fds(server, [len(content).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(content)
    answers = server.makefile("r")
    child = int(answers.readline())
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    code = int(answers.readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
