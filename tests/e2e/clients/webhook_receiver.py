"""Takes posts and checks their signature with Svix's own library, until it is killed.

    webhook_receiver.py PORT SECRET OUT [REFUSED]

Writes one JSON object a post to OUT: whether the signature is right, headers (names in lower case), body. The first
REFUSED posts are answered with 503.
"""

import http.server
import json
import sys

from svix.webhooks import Webhook, WebhookVerificationError

port, secret, out, *refused = sys.argv[1:]
left = int(refused[0]) if refused else 0


def is_right(body, headers):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    except json.JSONDecodeError:
        pass  # The signature was right; the library reads what it signs, and an envelope is no JSON.
    return True


class Posts(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global left
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {key.lower(): value for key, value in self.headers.items()}
        status = 503 if left > 0 else 204
        left -= 1
        post = {"right": is_right(body, headers), "path": self.path, "headers": headers, "body": body, "status": status}
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps(post) + "\n")
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", int(port)), Posts).serve_forever()
