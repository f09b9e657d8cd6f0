a_log && an_identity
FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
echo 'hello' >app.tar.gz && aip sign app.tar.gz
for of_others in artifact.bin trusted_root.json; do cp "$PAGE_REPOSITORY/specs/vectors/sigstore/$of_others" .; done
cp "$PAGE_REPOSITORY/specs/vectors/sigstore/ec.pub" cosign.pub
cp "$PAGE_REPOSITORY/specs/vectors/sigstore/A_ec_dsse_hr2pae.json" artifact.sigstore.json
