a_log && an_identity
mkdir -p dist && echo 'hello' >app.tar.gz && echo '{"bomFormat": "CycloneDX"}' >sbom.json
for name in app.whl app.js app.js.map; do echo "$name" >"dist/$name"; done
echo 'secret' >secret.bin && echo 'later' >later.bin
