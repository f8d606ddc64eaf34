"""The `asn1` wire profile: IKEv2 messages in ASN.1 DER, as docs/ipseclab.asn1 publishes them.

codec      ports.Codec: datagrams to messages and back
arrange    the payloads of a message into its fields, and back
payloads   each payload, field by field
association, oids   the SA payload and the object identifiers of its algorithms
schema     the published module, declared for the compiled DER codec
der        the bounded look over the octets that comes before anything else
"""
