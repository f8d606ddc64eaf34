list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 192.168.16.3
    local-port = 4500
    local-id = subject
    remote-host = 192.168.16.2
    remote-port = 4500
    remote-id = peer
    initiator = yes
    initiator-spi = 453cca4fffe5889e
    responder-spi = 2ea6962c5448dce4
    nat-remote = yes
    nat-any = yes
    encr-alg = AES_CBC
    encr-keysize = 256
    integ-alg = HMAC_SHA2_256_128
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = MODP_2048
    established = 2
    child-sas {
      net-1 {
        name = net
        uniqueid = 1
        reqid = 1
        state = DELETED
        mode = TUNNEL
        protocol = ESP
        encap = yes
        spi-in = fefcd0e4
        spi-out = 6929b63f
        encr-alg = AES_CBC
        encr-keysize = 256
        integ-alg = HMAC_SHA2_256_128
        bytes-in = 504
        packets-in = 6
        use-in = 1
        bytes-out = 0
        packets-out = 0
        install-time = 2
        local-ts = [
          10.1.0.0/24
        ]
        remote-ts = [
          10.2.0.0/24
        ]
      }
      net-2 {
        name = net
        uniqueid = 2
        reqid = 1
        state = INSTALLED
        mode = TUNNEL
        protocol = ESP
        encap = yes
        spi-in = 1abdde32
        spi-out = 95ea9022
        encr-alg = AES_CBC
        encr-keysize = 256
        integ-alg = HMAC_SHA2_256_128
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
