"""The subcommands of ``ziggurat``, one module each."""
