list-sa event {
  subject {
    uniqueid = 2
    version = 2
    state = ESTABLISHED
    local-host = 172.23.0.2
    local-port = 4500
    local-id = peer
    remote-host = 172.23.0.3
    remote-port = 4500
    remote-id = subject
    initiator-spi = a6dc20d061ecb268
    responder-spi = 8a09ba2f2ee905b4
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
        spi-in = 0ad3cd3c
        spi-out = 5e11a535
        encr-alg = AES_CBC
        encr-keysize = 256
        integ-alg = HMAC_SHA2_256_128
        bytes-in = 504
        packets-in = 6
        use-in = 1
        bytes-out = 504
        packets-out = 6
        use-out = 1
        install-time = 2
        local-ts = [
          10.2.0.0/24
        ]
        remote-ts = [
          10.1.0.0/24
        ]
      }
    }
  }
}
list-sa event {
  (unnamed) {
    uniqueid = 1
    version = 2
    state = CONNECTING
    local-host = 172.23.0.2
    local-port = 500
    local-id = %any
    remote-host = 172.23.0.3
    remote-port = 60577
    remote-id = %any
    initiator-spi = 91b7584a2265b1f6
    responder-spi = 174b4b1d7b92fd1b
    encr-alg = AES_CBC
    encr-keysize = 256
    integ-alg = HMAC_SHA2_256_128
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = MODP_2048
    tasks-passive = [
      IKE_INIT
      IKE_CERT_PRE
      IKE_AUTH
      IKE_CERT_POST
      IKE_CONFIG
      IKE_MOBIKE
      IKE_ESTABLISH
      IKE_AUTH_LIFETIME
      CHILD_CREATE
    ]
    child-sas {
    }
  }
}
list-sas reply {
}
