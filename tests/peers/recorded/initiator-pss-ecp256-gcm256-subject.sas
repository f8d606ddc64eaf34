list-sa event {
  peer {
    uniqueid = 1
    version = 2
    state = ESTABLISHED
    local-host = 172.28.0.3
    local-port = 4500
    local-id = subject
    remote-host = 172.28.0.2
    remote-port = 4500
    remote-id = peer
    initiator = yes
    initiator-spi = 82e27e68bddba806
    responder-spi = bc152b654db902fd
    nat-remote = yes
    nat-any = yes
    encr-alg = AES_GCM_16
    encr-keysize = 256
    prf-alg = PRF_HMAC_SHA2_384
    dh-group = ECP_256
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
        spi-in = cd041862
        spi-out = e6573406
        encr-alg = AES_GCM_16
        encr-keysize = 256
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
