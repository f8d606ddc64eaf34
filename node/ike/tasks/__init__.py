"""The operations of IKEv2, one module each: what we send, and how we answer (RFC 7296 1.2 to 1.5).

A handler gets a message that passed the integrity check and the payload rules. It returns payloads or raises
an `IkeError`; it never seals, sends or closes by itself unless the operation is about just that.
"""
