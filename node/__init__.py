"""The IKEv2/ESP node of the IPsec lab: one image, both roles."""
