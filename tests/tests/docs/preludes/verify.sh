a_log && an_identity
FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
echo 'hello' >app.tar.gz && aip sign app.tar.gz
