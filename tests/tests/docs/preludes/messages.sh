a_log && an_identity
aip --as partner init --register
PARTNER_DID=$(aip --as partner whoami --offline | sed -n 's/^DID: //p')
aip --as up init --register
UP=$(aip --as up whoami --offline | sed -n 's/^DID: //p')
aip --as org init --capabilities vouches --register
ORG=$(aip --as org whoami --offline | sed -n 's/^DID: //p')
aip --as org vouch "$UP"
echo 'hello' >app.tar.gz && echo '{"failed": 2}' >report.json
printf '#!/bin/sh\necho deployed\n' >deploy.sh && chmod +x deploy.sh
