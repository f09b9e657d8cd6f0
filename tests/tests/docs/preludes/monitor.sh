a_log && FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
aip init --register --log https://log.example.com --policy /var/lib/aip-log/log/policy
DID=$(aip whoami --offline | sed -n 's/^DID: //p')
# One entry has its receipt in the folder, another has none there.
a_thief_signs_beside_us() {
    export AIP_LOG_URL=https://log.example.com AIP_POLICY=/var/lib/aip-log/log/policy
    echo ours >ours && aip sign ours --receipts aip-receipts && echo theirs >theirs && aip sign theirs --receipts elsewhere
}
