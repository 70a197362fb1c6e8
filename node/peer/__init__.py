"""A connected peer: its router and routes, its record, the hub that holds all peers, and events for subscribers.

Imported by flows and by what makes connections; imports messages, addresses and the handshake.
"""
