list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 172.26.0.3
    local-port = 4500
    local-id = subject
    remote-host = 172.26.0.2
    remote-port = 4500
    remote-id = peer
    initiator = yes
    initiator-spi = 13a0361d860785e6
    responder-spi = bbad1aaabb33cd94
    nat-remote = yes
    nat-any = yes
    encr-alg = AES_GCM_16
    encr-keysize = 128
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = CURVE_25519
    established = 1
    child-sas {
      net-1 {
        name = net
        uniqueid = 1
        reqid = 1
        state = INSTALLED
        mode = TUNNEL
        protocol = ESP
        encap = yes
        spi-in = 7233c251
        spi-out = 09e21f3b
        encr-alg = AES_GCM_16
        encr-keysize = 128
        bytes-in = 504
        packets-in = 6
        use-in = 0
        bytes-out = 504
        packets-out = 6
        use-out = 0
        install-time = 1
        local-ts = [
          10.1.0.0/24
        ]
        remote-ts = [
          10.2.0.0/24
        ]
      }
    }
  }
}
list-sas reply {
}
