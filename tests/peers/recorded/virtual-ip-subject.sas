list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 172.31.0.3
    local-port = 4500
    local-id = subject
    remote-host = 172.31.0.2
    remote-port = 4500
    remote-id = peer
    initiator = yes
    initiator-spi = f4cf3882b2fdea8c
    responder-spi = c436058121cc5c72
    nat-remote = yes
    nat-any = yes
    encr-alg = AES_CBC
    encr-keysize = 256
    integ-alg = HMAC_SHA2_256_128
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = MODP_2048
    established = 1
    local-vips = [
      10.3.0.1
    ]
    child-sas {
      net-1 {
        name = net
        uniqueid = 1
        reqid = 1
        state = INSTALLED
        mode = TUNNEL
        protocol = ESP
        encap = yes
        spi-in = e07c88f4
        spi-out = f82ccb3e
        encr-alg = AES_CBC
        encr-keysize = 256
        integ-alg = HMAC_SHA2_256_128
        bytes-in = 504
        packets-in = 6
        use-in = 0
        bytes-out = 504
        packets-out = 6
        use-out = 0
        install-time = 2
        local-ts = [
          10.3.0.1/32
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
