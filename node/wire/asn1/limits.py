"""The bounds of the profile, each with its reason; docs/ipseclab.asn1 names the same numbers."""

#: Octets of a message: the largest UDP payload over IPv4. The profile does not fragment.
MAX_DATAGRAM = 65_507
#: What to do about a message that is larger.
NO_FRAGMENTS = "this profile does not fragment, use smaller certificates or fewer of them"

#: Elements in one message or plaintext. An IKE_AUTH has about 60; beyond this only junk is found.
MAX_ELEMENTS = 4096

#: Constructed elements inside one another: message, payloads, SA, proposals, proposal, transforms, transform,
#: attributes, attribute.
MAX_DEPTH = 9

#: Octets after the first of an identifier in the long form: two hold tag 128, the largest of the module.
MAX_TAG_OCTETS = 2

#: Octets of an INTEGER: the largest is an SPI, 8 octets and one for the sign.
MAX_INTEGER = 9

#: Arcs of an OBJECT IDENTIFIER, and octets of one arc: a UUID (ITU-T X.667) needs 19.
MAX_OID_ARCS = 32
MAX_ARC_OCTETS = 19

#: Octets of the whole header element; the largest values of all its fields need fewer.
MAX_HEADER = 64

#: Payloads in one message. RFC 7296 has no bound; this one is far above every exchange.
MAX_PAYLOADS = 256

#: Ranges of INTEGERs by their size in RFC 7296.
OCTET = 0xFF
TWO_OCTETS = 0xFFFF
FOUR_OCTETS = 0xFFFF_FFFF
EIGHT_OCTETS = 0xFFFF_FFFF_FFFF_FFFF
#: Attribute types have 15 bits (RFC 7296 3.3.5, 3.15.1).
FIFTEEN_BITS = 0x7FFF

#: Octets of nonce data (RFC 7296 3.9).
MIN_NONCE, MAX_NONCE = 16, 256
