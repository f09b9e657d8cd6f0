a_log && an_identity
mkdir dist && echo 'hello' >dist/app.tar.gz && aip sign dist/app.tar.gz
