"""A node as a process: built from its settings, run until a signal, asked through its control socket.

Imported by the command line only.
"""
