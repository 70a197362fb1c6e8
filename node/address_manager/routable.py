"""Which addresses may be advertised, and which are worth a dial when a peer gossips them."""

from __future__ import annotations

from ipaddress import ip_network

from ziggurat.node.address import IpAddress, NetAddress, NodeAddress, canonical_ip

__all__ = ["SERVICE_PORTS", "is_publicly_routable", "is_worth_dialling"]

NOT_ROUTABLE = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network, RFC 1122; includes the unspecified address
            "10.0.0.0/8",  # private, RFC 1918
            "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, RFC 3927
            "172.16.0.0/12",  # private, RFC 1918
            "192.0.2.0/24",  # documentation, RFC 5737
            "192.168.0.0/16",  # private, RFC 1918
            "198.18.0.0/15",  # benchmarks, RFC 2544
            "198.51.100.0/24",  # documentation, RFC 5737
            "203.0.113.0/24",  # documentation, RFC 5737
            "255.255.255.255/32",  # broadcast
            "::/128",  # unspecified
            "::1/128",  # loopback
            "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
            "64:ff9b::/96",  # IPv4-embedded, RFC 6052
            "2001::/32",  # Teredo, RFC 4380
            "2001:10::/28",  # ORCHID, RFC 4843
            "2001:470::/32",  # Hurricane Electric tunnels
            "2001:db8::/32",  # documentation, RFC 3849
            "2002::/16",  # 6to4, RFC 3964
            "fc00::/7",  # unique local, RFC 4193
            "fe80::/64",  # link-local, RFC 4862
        ),
    )
)
"""kaspad's table. ``ipaddress.is_global`` disagrees with it about what a peer may advertise."""


def is_publicly_routable(ip: IpAddress) -> bool:
    """Return whether a node may advertise the address. v4-mapped addresses count as IPv4."""
    ip = canonical_ip(ip)
    return not any(ip in network for network in NOT_ROUTABLE)


SERVICE_PORTS = frozenset(
    {
        *range(1, 1024),  # system ports, RFC 6335: ssh, mail, web
        *(1433, 1521, 3306, 5432, 50000),  # SQL Server, Oracle, MySQL, PostgreSQL, Db2
        *(5984, 6379, 7000, 7001, 8086, 9042, 9200, 9300, 11211, 27017),  # CouchDB, Redis, Cassandra .. MongoDB
        *(1883, 2049, 2375, 2376, 3389, 5060, 5900, 6667, 10250),  # MQTT, NFS, Docker, RDP, SIP, VNC, IRC, kubelet
    }
)
"""Ports of well-known services, on which no Kaspa node listens. A node that dials what any peer gossips can be made to
scan other people's hosts, and hosting companies block a server for that."""


def is_worth_dialling(address: NodeAddress) -> bool:
    """Return whether a gossiped address is kept and dialled on a public network.

    kaspad keeps and dials private addresses and any port, too. What the user names is dialled whatever this says.
    """
    if address.port in SERVICE_PORTS:
        return False
    if not isinstance(address, NetAddress):
        return True
    return is_publicly_routable(address.ip) and not address.ip.is_multicast and not address.ip.is_reserved
