"""Processes that the tests start: awaited by what they print, ended with all that they started."""

import os
import re
import signal
import subprocess
import threading
import time

# A busy machine of two cores needs its time; nothing waits for this long when all is well.
PATIENCE_S = 120
POLL_S = 0.05

# What was started and has not been seen to end.
_running = []


class Running:
    """A process in a process group of its own, as a terminal gives one to what is typed there."""

    def __init__(self, arguments, environment):
        self.name = os.path.basename(str(arguments[0]))
        self.lines = []
        self._ended = False
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [str(argument) for argument in arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        _running.append(self)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def text(self):
        with self._news:
            return "\n".join(self.lines)

    def line(self, pattern, within_s=PATIENCE_S):
        """The match of the first line that fits, printed already or still to come."""
        found = re.compile(pattern)

        def look():
            matches = (found.search(line) for line in self.lines)
            return next((match for match in matches if match), None)

        with self._news:
            self._news.wait_for(lambda: look() or self._ended, within_s)
            match = look()
        if match is None:
            why = "ended without" if self._ended else f"did not within {within_s} s print"
            raise AssertionError(f"{self.name} {why} {pattern!r}:\n{self.text()}")
        return match

    def interrupt(self, within_s=PATIENCE_S):
        """What ctrl-c does; returns the exit status once nothing that it started is left."""
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            status = self._process.wait(within_s)
            eventually(lambda: not self._session(), f"{self.name} leaves no process behind", 10)
            return status
        finally:
            self.kill()

    def kill(self):
        for process in self._session():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        _running.remove(self)

    def _session(self):
        """The living processes of its session: itself and all that it started, in any group."""
        return [process for process in processes() if session_of(process) == self._process.pid]


def kill_all():
    """Ends what a failed test left running."""
    for process in list(_running):
        process.kill()


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def session_of(process):
    """The session of a living process, or none where it has ended."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            # The name, in brackets, may hold blanks and brackets itself.
            state, _, _, session = file.read().rpartition(")")[2].split()[:4]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(session)


def eventually(probe, what, within_s=PATIENCE_S):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + within_s
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(POLL_S)
    return answer
