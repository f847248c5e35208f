"""A foreign producer and consumer: sends Latin-1 XML with a reply-to, prints what comes back.

    pika_requester.py PORT QUEUE FILE COUNT [bad|nowhere|deep]

Sends COUNT messages (with "bad", ones whose XML is not closed) under the message-ids m-0, m-1, … each twice, and waits for
the replies, half a second longer than for the last; with "nowhere" the reply-to is no queue, and nothing is waited for; with "deep" each has a header of lists in lists, as many as a frame
takes. Prints one JSON object a reply.
"""

import json
import sys
import threading

import pika

port, queue, file, count, *how = sys.argv[1:]
with open(file, "rb") as source:
    body = source.read()
if how == ["bad"]:
    body = body.replace(b"</Claim>", b"")

headers = {}
if how == ["deep"]:
    deep = []
    for _ in range(20_000):
        deep = [deep]
    headers = {"deep": deep}


def converse():
    parameters = pika.ConnectionParameters("127.0.0.1", int(port), credentials=pika.PlainCredentials("guest", "guest"))
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.confirm_delivery()
    replies = "nobody.reads.this" if how == ["nowhere"] else channel.queue_declare("", exclusive=True).method.queue
    for number in range(int(count)):
        own = body.replace(b"C00012345", b"C%08d" % number).replace(b"P-7", b"P-%d" % number)
        properties = pika.BasicProperties(
            content_type="text/xml", reply_to=replies, headers=headers,
            message_id=f"{how[0] if how else 'm'}-{number}", correlation_id=f"c-{number}", delivery_mode=2
        )
        for _ in range(2):
            channel.basic_publish("", queue, own, properties, mandatory=True)

    if how == ["nowhere"]:
        connection.close()
        return
    left = int(count)
    for method, properties, reply in channel.consume(replies, auto_ack=True, inactivity_timeout=20 if left else 1):
        if method is None:
            break
        left -= 1
        told = {key: str(value) for key, value in (properties.headers or {}).items()}
        print(json.dumps({
            "message_id": properties.message_id,
            "correlation_id": properties.correlation_id,
            "content_type": properties.content_type,
            "headers": told,
            "body": reply.decode("utf-8", "replace"),
        }), flush=True)
        if left == 0:
            channel.cancel()
            break
    connection.close()


# Lists in lists are written by functions that call themselves.
sys.setrecursionlimit(1_000_000)
threading.stack_size(512 * 1024 * 1024)
thread = threading.Thread(target=converse)
thread.start()
thread.join()
