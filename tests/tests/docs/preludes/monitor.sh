a_log && FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
aip init --register --log https://log.example.com --policy /var/lib/aip-log/log/policy
DID=$(aip whoami --offline | sed -n 's/^DID: //p')
