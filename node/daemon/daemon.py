"""Build a node from its settings, run it until a signal arrives, and shut it down in order."""

from __future__ import annotations

import errno
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import anyio

from ziggurat.layers.events import write_event
from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import AddressManager, is_worth_dialling
from ziggurat.node.config import OnionBind, Resolved, Settings, locked
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.daemon.circuits import PeerCircuits, networks_record
from ziggurat.node.daemon.control import serve_control
from ziggurat.node.daemon.descriptors import fit_descriptors
from ziggurat.node.daemon.requests import NodeRequests
from ziggurat.node.daemon.sd_notify import sd_notify
from ziggurat.node.daemon.tor import NodeTor
from ziggurat.node.daemon.unhandled import UnhandledErrors
from ziggurat.node.p2p_service import P2pService, ban_list

__all__ = ["CannotRun", "report_status", "run_daemon", "tor_of"]

ADDRESS_BOOK_FILE = "addresses.sqlite"

BAN_FILE = "bans.json"

STATUS_INTERVAL = 60.0
"""Seconds between two ``node.status`` events."""

BOOK_CLOSE_TIMEOUT = 0.8
"""Seconds to close the address book, after the adaptor's four: the node stops within five."""


class CannotRun(OSError):
    """The node cannot start; the message says why, in one line."""


async def run_daemon(resolved: Resolved) -> None:
    """Run a node until SIGINT or SIGTERM. A second signal has its default effect.

    Events: ``node.started`` (``listen``, ``advertised``, ``network``, ``via``, ``directory``), ``node.status`` once a
    minute, ``node.stopping`` (``signal``), ``node.stopped``; at the start ``settings.ignored`` (``names``),
    ``settings.ineffective`` (``reason``), ``environment.ignored`` (``names``) and ``externalip.ignored`` (``address``,
    ``reason``); and for bugs ``error.unhandled``.

    Raises:
        CannotRun: the directory or that of the log is in use or not writable, or the node cannot listen on its
            address.
    """
    try:
        with UnhandledErrors().reported(), ExitStack() as receiver:
            # Before anything else, so that a signal during the start also leads to an orderly shutdown.
            signals = receiver.enter_context(anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
            with locked(resolved.settings.directory) as directory, _locked_log_directory(resolved.settings):
                settings, too_many = fit_descriptors(resolved.settings)
                _warn_about_ignored_settings(resolved, too_many)
                accepts = None if resolved.settings.network.private else is_worth_dialling
                book = await AddressManager.open(directory / ADDRESS_BOOK_FILE, accepts=accepts)
                try:
                    await _run(settings, directory, book, partial(_wait_for_signal, signals, receiver))
                finally:
                    with anyio.move_on_after(BOOK_CLOSE_TIMEOUT, shield=True):
                        await book.aclose()
    except OSError as error:
        raise CannotRun(_error_text(error)) from error
    write_event(None, "info", "node.stopped")


def _locked_log_directory(settings: Settings) -> AbstractContextManager[object]:
    """Hold the lock of the log directory: two nodes would rename each other's files. The node's own is locked."""
    logs = settings.log_directory
    if logs is None or logs.resolve() == settings.directory.resolve():
        return nullcontext()
    return locked(logs)


async def _wait_for_signal(signals: AsyncIterator[signal.Signals], receiver: ExitStack) -> None:
    """Wait for a signal, and restore the default effect of further ones."""
    async for number in signals:
        receiver.close()
        write_event(None, "info", "node.stopping", signal=number.name)
        return


async def _run(
    settings: Settings, directory: Path, book: AddressManager, stopped: Callable[[], Awaitable[None]]
) -> None:
    handler = ConnectionHandler(settings.ways)
    tor = await tor_of(settings, handler)
    service = P2pService(
        settings,
        book,
        handler=handler,
        bans=ban_list(settings, directory / BAN_FILE).load(),
        tor_ready=None if tor is None else tor.link.wait_up,
        onion_published=None if tor is None or tor.key is None else tor.wait_onion,
    )
    circuits = PeerCircuits(None if tor is None else tor.link)
    requests = NodeRequests(service, circuits)
    try:
        await service.__aenter__()
    except OSError as error:
        raise CannotRun(_why_not_listening(error, settings.onion_listener)) from error
    try:
        async with serve_control(directory, requests.questions, requests.commands), anyio.create_task_group() as tasks:
            write_event(
                None,
                "info",
                "node.started",
                listen=", ".join(map(str, service.listening)) or None,
                advertised=None if service.advertised is None else str(service.advertised),
                network=settings.network.name,
                via=str(settings.ways) if settings.ways.proxied else None,
                directory=str(directory),
            )
            _warn_about_external_address(settings, service.advertised)
            tasks.start_soon(service.run)
            if tor is not None:
                tasks.start_soon(tor.run, settings, service)
            tasks.start_soon(report_status, service, book, circuits)
            sd_notify("READY=1")
            await stopped()
            sd_notify("STOPPING=1")
            tasks.cancel_scope.cancel()
    finally:
        await service.__aexit__(None, None, None)


async def tor_of(settings: Settings, handler: ConnectionHandler) -> NodeTor | None:
    """Return a node's side of Tor, as `NodeTor.from_settings`.

    Raises:
        CannotRun: it cannot be had; the message says why.
    """
    try:
        return await NodeTor.from_settings(settings, handler)
    except (ImportError, ValueError) as error:
        raise CannotRun(str(error)) from error


async def report_status(service: P2pService, book: AddressManager, circuits: PeerCircuits | None = None) -> None:
    """Write ``node.status`` each minute, until cancelled. No event has the path of a circuit."""
    circuits = PeerCircuits() if circuits is None else circuits
    while True:
        await anyio.sleep(STATUS_INTERVAL)
        status, peers = service.manager.status(), service.adaptor.peers()
        write_event(
            None,
            "info",
            "node.status",
            **asdict(status),
            addresses=len(book),
            networks=networks_record(service.adaptor.connection_handler.ways, peers),
            tunnels=circuits.tunnels(peers),
        )
        sd_notify(f"STATUS={status.outbound} outbound and {status.inbound} inbound peers, {len(book)} addresses")


def _warn_about_ignored_settings(resolved: Resolved, too_many: str | None) -> None:
    if resolved.ignored_settings:
        write_event(None, "warning", "settings.ignored", names=list(resolved.ignored_settings))
    for reason in (*resolved.ineffective, *filter(None, [too_many])):
        write_event(None, "warning", "settings.ineffective", reason=reason)
    if resolved.ignored_variables:
        write_event(None, "warning", "environment.ignored", names=list(resolved.ignored_variables))


def _warn_about_external_address(settings: Settings, advertised: NetAddress | None) -> None:
    external = settings.externalip
    if external is not None and (advertised is None or advertised.ip != external.ip):
        reason = "others could not reach it" if settings.listen_addresses else "the node does not listen"
        shown = str(external if external.port else external.ip)
        write_event(None, "warning", "externalip.ignored", address=shown, reason=reason)


def _why_not_listening(error: OSError, onion: OnionBind | None) -> str:
    """Return why the node cannot listen, with the setting that is about the address that failed."""
    text = error.strerror or str(error)
    shown = f"unix:{onion}" if isinstance(onion, Path) else str(onion)
    if onion is not None and f"cannot listen on {shown}:" in text:
        return f"{text}; --onion-bind names another place for what Tor hands over"
    outer = " (0.0.0.0, and this address to --externalip)" if error.errno == errno.EADDRNOTAVAIL else ""
    return f"{text}; choose another address with --listen{outer}"


def _error_text(error: OSError) -> str:
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
