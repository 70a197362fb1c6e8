"""A server's certificate, and the authority that its clients trust."""

from __future__ import annotations

from pathlib import Path

__all__ = ["certificates"]


def certificates(folder: Path) -> tuple[str | None, str | None]:
    """Return the paths of a server's certificate with its key, and of its authority; ``None`` without trustme."""
    try:
        import trustme
    except ImportError:
        return None, None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return str(folder / "server.pem"), str(folder / "authority.pem")
