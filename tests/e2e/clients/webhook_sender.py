"""Posts one event as a foreign sender would: signed by Svix's or Stripe's own library.

    webhook_sender.py svix|stripe URL SECRET ID [tampered]   < BODY

Prints one JSON object: the status, the headers (names in lower case) and the body of the answer.
"""

import datetime
import json
import sys

import requests

style, url, secret, name, *how = sys.argv[1:]
body = sys.stdin.read()
now = datetime.datetime.now(datetime.timezone.utc)

if style == "svix":
    from svix.webhooks import Webhook

    headers = {
        "svix-id": name,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(secret).sign(name, now, body),
    }
else:
    import stripe

    headers = {"Stripe-Signature": stripe.WebhookSignature.generate_signature_header(body, secret)}

if how == ["tampered"]:
    body = body.replace("120.00", "999.00")
answer = requests.post(url, data=body.encode(), headers={"Content-Type": "application/json", **headers}, timeout=30)
names = {key.lower(): value for key, value in answer.headers.items()}
print(json.dumps({"status": answer.status_code, "headers": names, "body": answer.text}))
