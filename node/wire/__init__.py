"""Wire profiles: octets to model and back (layer 1). The profiles are blind to one another."""
