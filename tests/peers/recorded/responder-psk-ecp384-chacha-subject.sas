list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 172.27.0.2
    local-port = 4500
    local-id = subject
    remote-host = 172.27.0.3
    remote-port = 4500
    remote-id = peer
    initiator-spi = b45c222f1bd2789f
    responder-spi = e9ea59873f430da8
    nat-remote = yes
    nat-any = yes
    encr-alg = CHACHA20_POLY1305
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = ECP_384
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
        spi-in = 0c004c1f
        spi-out = a91a2635
        encr-alg = CHACHA20_POLY1305
        bytes-in = 504
        packets-in = 6
        use-in = 1
        bytes-out = 504
        packets-out = 6
        use-out = 1
        install-time = 2
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
