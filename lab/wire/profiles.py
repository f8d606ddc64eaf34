"""What differs between the wire profiles: how a datagram is read, and how a message is forged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from lab.wire import forge_asn1, forge_rfc7296
from lab.wire.identity import Identity, marker, read_asn1, read_rfc7296


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile's functions. Those that may give None could not read what they were given."""

    #: Octets and the port that they go to or come from.
    read: Callable[[bytes, int], Identity]
    #: An IKE_SA_INIT request that offers only the weakest suite.
    downgrade: Callable[[bytes], bytes | None]
    #: A message like this one whose protected part is random.
    junk: Callable[[bytes, Random], bytes | None]
    #: A fresh IKE_SA_INIT request after a template; a built-in one where the template is none.
    request: Callable[[bytes, Random], bytes]
    #: What stands before a built-in message on a port.
    lead: Callable[[int], bytes]


PROFILES: Mapping[str, Profile] = {
    "asn1": Profile(read_asn1, forge_asn1.downgrade, forge_asn1.junk, forge_asn1.request, lambda port: b""),
    "rfc7296": Profile(
        read_rfc7296, forge_rfc7296.downgrade, forge_rfc7296.junk, forge_rfc7296.request, marker
    ),
}
