"""The part of Tor's control protocol that the tests need, over a unix control socket."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

__all__ = ["Control"]


class Control:
    """A control connection. Replies come in the order of the commands, with events in between."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("r", encoding="latin-1", newline="\r\n")
            self.events: list[str] = []
            self.ask("AUTHENTICATE")
        except BaseException:
            self._socket.close()
            raise

    def ask(self, command: str) -> list[str]:
        """Send a command and return the lines of the reply without their codes.

        Raises:
            RuntimeError: the reply is an error.
        """
        self._socket.sendall(command.encode() + b"\r\n")
        answer: list[str] = []
        for code, separator, text in self._replies():
            if code == "650":
                self.events.append(text)
                continue
            answer.append(text)
            if separator == " ":
                if code != "250":
                    raise RuntimeError(f"tor answers {command!r} with {code} {text}")
                break
        return answer

    def next_event(self) -> str:
        """Wait for the next event and return it."""
        while not self.events:
            code, _, text = next(self._replies())
            if code == "650":
                self.events.append(text)
        return self.events.pop(0)

    def info(self, key: str) -> list[str]:
        """Send ``GETINFO`` and return the lines of the value."""
        lines = self.ask(f"GETINFO {key}")[:-1]
        return [line for line in "\n".join(lines).partition("=")[2].split("\n") if line]

    def ready(self) -> bool:
        """Return whether this tor can be used."""
        return "TAG=done" in self.info("status/bootstrap-phase")[0]

    def circuits(self, port: int) -> set[str]:
        """Return the circuits of the open streams to targets with this port."""
        streams = [line.split() for line in self.info("stream-status")]
        return {
            circuit for _, state, circuit, target, *_ in streams if state == "SUCCEEDED" and target.endswith(f":{port}")
        }

    def add_onion(self, port: int, target: str, *, client_key: str | None = None) -> str:
        """Publish an onion service, wait until it is reachable, and return its name.

        With ``client_key``, an X25519 public key in base 32, only who has the private key can read its descriptor.

        A v3 service uploads two descriptors, for this time period and the next, each to several directories. A client
        that asks a directory too early gets none and does not ask again for a while, so this waits for all uploads.
        """
        self.ask("SETEVENTS HS_DESC")
        flags, authorized = ("DiscardPK,V3Auth", f" ClientAuthV3={client_key}") if client_key else ("DiscardPK", "")
        answer = self.ask(f"ADD_ONION NEW:ED25519-V3 Flags={flags} Port={port},{target}{authorized}")
        service = answer[0].partition("=")[2]
        descriptors: set[str] = set()
        pending = 0  # not a set of directories: one may be given both descriptors
        while len(descriptors) < 2 or pending:
            _, action, address, _, _, *rest = self.next_event().split()
            if address != service:
                continue
            if action == "UPLOAD":
                descriptors.add(rest[0])
                pending += 1
            elif action in ("UPLOADED", "FAILED"):
                pending -= 1
        self.ask("SETEVENTS")
        return f"{service}.onion"

    def _replies(self) -> Iterator[tuple[str, str, str]]:
        while True:
            line = self._lines.readline().rstrip("\r\n")
            match = re.fullmatch(r"(\d\d\d)([ +-])(.*)", line)
            if match is None:
                raise RuntimeError(f"tor closed its control connection: {line!r}")
            code, separator, text = match.groups()
            if separator == "+":
                while (line := self._lines.readline().rstrip("\r\n")) != ".":
                    text += "\n" + line
            yield code, separator, text

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
