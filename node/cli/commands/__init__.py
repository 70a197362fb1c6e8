"""The commands of ``ziggurat``, a module each."""
