a_log
# The credentials file of Python aip: the test vectors' identity.
mkdir -p ~/.aip && chmod 700 ~/.aip
cat >~/.aip/credentials.json <<'CREDENTIALS'
{
  "did": "did:aip:56475aa75463474c0285df5dbf2bcab7",
  "public_key": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
  "private_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
  "platform": "github",
  "username": "my-org",
  "service": "https://aip-service.fly.dev",
  "registered_at": 1760000000
}
CREDENTIALS
chmod 600 ~/.aip/credentials.json
mkdir dist && echo app >dist/app.tar.gz
# As Python does it: canonical JSON, and a signature over it. Nothing but the standard library is here, so ours makes it.
python_signs_dist() { aip sign dist --no-log --aip-manifest --receipts "$HOME/elsewhere" >/dev/null 2>&1; }
