"""The Kaspa handshake: its state table, its run over a stream, our identity, and the reasons for a refusal.

Imports messages and addresses only.
"""
