"""Topics in Python, with nothing but pynng: one client subscribes to a pattern, another publishes.

    wirebird broker &
    python3 examples/broker/topics.py [URL]
"""

import sys

from client import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7420"

with Client(URL) as subscriber, Client(URL) as publisher:
    publisher.ask("CREATE_TOPIC", "python/news")
    subscriber.ask("SUBSCRIBE", "python/*")
    for text in ["it rains", "it has stopped raining"]:
        answer = publisher.ask("PUBLISH", "python/news", text=text, subject="weather")
        assert answer["headers"]["delivered"] == "1", answer
        heard = subscriber.publication()
        print(f"{heard['destination']}, {heard['subject']}: {heard['text']}")
    subscriber.ask("UNSUBSCRIBE", "python/*")
    answer = publisher.ask("PUBLISH", "python/news", text="nobody hears this")
    assert answer["headers"]["delivered"] == "0", answer
    publisher.ask("REMOVE_TOPIC", "python/news")
    print("done")
