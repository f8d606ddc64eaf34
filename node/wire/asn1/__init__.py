"""The founding wire profile: IKEv2 messages in ASN.1 DER, as docs/ipseclab.asn1 publishes them (layer 1)."""
