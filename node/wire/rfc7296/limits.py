"""The bounds of the profile, each with its reason.

Depth needs none: a message has payloads, SA has proposals, transforms and attributes, and nothing contains
its own kind.
"""

#: Octets of a datagram without the non-ESP marker: what strongSwan takes (charon.max_packet), and well above
#: the 3,000 that RFC 7296 2 asks for. Whoever needs more fragments.
MAX_DATAGRAM = 10_000
#: What to do about a message that is larger.
TOO_LARGE = "use smaller certificates or fewer of them"

#: Octets of the payloads that fragments make up: as many as an SK payload, which has their sum in its length
#: of two octets, could hold.
MAX_JOINED = 65_535
#: Fragments of one message. In datagrams of 576 octets, the least that RFC 7383 2.5.1 speaks of, they hold
#: 15 kB; in those of 1,280 octets, 38 kB: a chain of ten large certificates.
MAX_FRAGMENTS = 32

#: Payloads of one message: certificates, requests for them, notifications and all else that the rules of an
#: exchange allow come to less. RFC 7296 has no bound; libreswan's is 30, which is below ten certificates with
#: their notifications.
MAX_PAYLOADS = 128

#: Proposals of an SA payload: their numbers have one octet, and no two are alike (RFC 7296 3.3.1).
MAX_PROPOSALS = 255
#: Transforms of a proposal, selectors of a TS payload: their number has one octet (RFC 7296 3.3.1, 3.13).
MAX_TRANSFORMS, MAX_SELECTORS = 255, 255
#: Attributes of a transform: one has ever been defined (RFC 7296 3.3.5).
MAX_ATTRIBUTES = 16

#: Octets of nonce data (RFC 7296 3.9).
MIN_NONCE, MAX_NONCE = 16, 256

#: Runs of transforms and of selectors of which what they say is remembered, and the octets of one at most:
#: peers come back with the same ones, and nobody can fill a megabyte.
MAX_REMEMBERED, MAX_REMEMBERED_SIZE = 128, 256
