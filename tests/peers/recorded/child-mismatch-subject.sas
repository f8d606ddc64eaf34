list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 172.30.0.3
    local-port = 4500
    local-id = subject
    remote-host = 172.30.0.2
    remote-port = 4500
    remote-id = peer
    initiator = yes
    initiator-spi = 67756084a1a2023f
    responder-spi = 7a088e312c454ad7
    nat-remote = yes
    nat-any = yes
    encr-alg = AES_CBC
    encr-keysize = 256
    integ-alg = HMAC_SHA2_256_128
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = MODP_2048
    established = 0
    child-sas {
    }
  }
}
list-sas reply {
}
