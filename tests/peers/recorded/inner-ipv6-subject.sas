list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 192.168.112.3
    local-port = 4500
    local-id = subject
    remote-host = 192.168.112.2
    remote-port = 4500
    remote-id = peer
    initiator = yes
    initiator-spi = 4d12b5e21d801946
    responder-spi = 0dbec4805da58b5d
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
        state = INSTALLED
        mode = TUNNEL
        protocol = ESP
        encap = yes
        spi-in = 2ff1abd5
        spi-out = 1ec2a174
        encr-alg = AES_CBC
        encr-keysize = 256
        integ-alg = HMAC_SHA2_256_128
        bytes-in = 624
        packets-in = 6
        use-in = 1
        bytes-out = 624
        packets-out = 6
        use-out = 1
        install-time = 2
        local-ts = [
          fd00:1::/64
        ]
        remote-ts = [
          fd00:2::/64
        ]
      }
    }
  }
}
list-sas reply {
}
