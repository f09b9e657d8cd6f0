a_log && an_identity
echo 'hello' >app.tar.gz && aip sign app.tar.gz
