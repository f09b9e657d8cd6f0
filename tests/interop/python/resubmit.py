"""Sends the entry of a receipt to a log once more: python3 resubmit.py URL RECEIPT.

Prints the status of an answer that logs nothing now, and fails on any other, or on one that gives no reason.
"""

import json
import sys
import urllib.error
import urllib.request

url, receipt = sys.argv[1:]
body = json.dumps({"leaf": json.load(open(receipt))["leaf"]}).encode()
headers = {"Content-Type": "application/json", "Prefer": "wait=2"}
request = urllib.request.Request(f"{url}/api/v1/entries", data=body, headers=headers)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode()
if status not in (202, 503) or "quorum" not in text:
    sys.exit(f"the log answers {status}: {text}")
print(status)
