a_log
FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
