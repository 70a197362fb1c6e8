"""Dial one of several endpoints: the less loaded of two drawn at random.

`load.py` measures how busy an endpoint is, `member.py` is one endpoint's state, `members.py` the set of them and the
choice, `discovery.py` what changes the set, and `balance.py` the connector.
"""

from ziggurat.layers.balance.balance import Balance
from ziggurat.layers.balance.discovery import Change, Insert, Remove
from ziggurat.layers.balance.load import Load, Meter, PeakEwma, PendingLoad
from ziggurat.layers.balance.member import MemberState

__all__ = ["Balance", "Change", "Insert", "Load", "MemberState", "Meter", "PeakEwma", "PendingLoad", "Remove"]
