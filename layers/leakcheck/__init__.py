"""Run any program where only its proxy answers, and record everything else: the promise, proved from outside.

`leakcheck` puts the program into a network namespace of its own, whose every address but the proxy's leads into a sink.
What goes there is recorded from the packets, so that no way of making them hides it: C code, io_uring, children. For
a guard within a Python program see `ziggurat.layers.testing.no_leaks`.
"""

from ziggurat.layers.leakcheck.check import leakcheck
from ziggurat.layers.leakcheck.judge import Finding
from ziggurat.layers.leakcheck.namespace import CommandError, NamespaceError
from ziggurat.layers.leakcheck.report import LeakReport, ProxyUse

__all__ = ["CommandError", "Finding", "LeakReport", "NamespaceError", "ProxyUse", "leakcheck"]
