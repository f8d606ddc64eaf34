"""Defaults that differ between the roles: with them the two founding command lines need nothing else.

An initiator and a responder on one host meet on 127.0.0.1:8000 (rfc7296: 500 and 4500), with the files that
the openssl commands of the README write to `ipsec/certs/`.
"""

from typing import Any

from node.config.model import Role

#: Inner networks: the initiator's hosts, the responder's hosts.
_NETWORKS = {Role.INITIATOR: "10.1.0.0/24", Role.RESPONDER: "10.2.0.0/24"}
_ADDRESSES = {Role.INITIATOR: "10.1.0.1/24", Role.RESPONDER: "10.2.0.1/24"}
#: The ports of each profile: IKE, and IKE with ESP (docs/ipseclab.asn1 has one; RFC 7296 2.23).
_PORTS = {
    "asn1": {"port": 8000},
    "rfc7296": {"port": 500, "nat_port": 4500},
}


def role_defaults(role: Role, profile: str) -> dict[str, Any]:
    """The defaults of a role in a profile, in the shape of the file."""
    other = Role.INITIATOR if role is Role.RESPONDER else Role.RESPONDER
    ports = _PORTS[profile]
    return {
        "name": role.value,
        "role": role.value,
        "listen": dict(ports) if role is Role.RESPONDER else dict.fromkeys(ports, 0),
        "peer": {
            **ports,
            "address": "" if role is Role.RESPONDER else "127.0.0.1",
            "identity": f"dn:CN=ipsec-{other}",
        },
        "credentials": {
            "certificate": f"ipsec/certs/{role}-cert.pem",
            "key": f"ipsec/certs/{role}-key.pem",
        },
        "child": {"local_ts": [_NETWORKS[role]], "remote_ts": [_NETWORKS[other]]},
        "tun": {"address": _ADDRESSES[role]},
    }
