"""What a leak check found."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.layers.leakcheck.judge import Finding

__all__ = ["LeakReport", "ProxyUse"]


@dataclass(frozen=True, slots=True)
class ProxyUse:
    """How a proxy was used.

    Attributes:
        proxy: its address.
        tried: how often the program connected to it, or tried to; 0 for a unix socket that did not answer.
        connections: how many of these reached the real proxy.
    """

    proxy: str
    tried: int
    connections: int


@dataclass(frozen=True, slots=True)
class LeakReport:
    """The result of a run.

    Attributes:
        findings: what went elsewhere, by time.
        proxies: the proxies, as given.
        code: the exit code of the program; negative for the number of the signal that ended it.
        stopped: whether it was ended by the check, since its time was up.
        elapsed: how long it ran, in seconds.
        lost: how many packets came faster than they could be recorded; then the findings are incomplete.
        left: the processes that it left running when it ended by itself, as ``name (pid)``; the check ended them.
    """

    findings: tuple[Finding, ...]
    proxies: tuple[ProxyUse, ...]
    code: int
    stopped: bool
    elapsed: float
    lost: int
    left: tuple[str, ...] = ()

    @property
    def failure(self) -> str | None:
        """Why a run without findings proves nothing; ``None`` if it does prove that nothing leaked."""
        if self.lost:
            return f"{self.lost} packets were not recorded"
        if not any(use.connections for use in self.proxies):
            tried = sum(use.tried for use in self.proxies)
            return f"the proxy did not answer ({tried} tries)" if tried else "the program never used the proxy"
        if self.code and not self.stopped:
            ended = f"with {self.code}" if self.code > 0 else f"by signal {-self.code}"
            return f"the program ended {ended}"
        if self.left:
            return f"the program went on in the background, as {', '.join(self.left)}; let it run in the foreground"
        return None

    @property
    def clean(self) -> bool:
        """Whether the program did use the proxy, ended well, and nothing went elsewhere."""
        return not self.findings and self.failure is None
