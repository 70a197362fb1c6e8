"""What is wrong with what the node was told."""

from __future__ import annotations

__all__ = ["SettingsError"]


class SettingsError(ValueError):
    """A setting is wrong. Its text is one line that names the setting, the value and what would be right."""
