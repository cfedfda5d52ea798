"""Raw Dramatiq: the job is its message; one process, eight threads, default middleware."""

from __future__ import annotations

import threading

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from benchmarks.asked import Asked, Took, answer, asked

THREADS = 8


class Done(dramatiq.Middleware):
    """Says when `n` messages are acknowledged."""

    def __init__(self, n: int) -> None:
        self._left = n
        self._lock = threading.Lock()
        self.all = threading.Event()

    def after_ack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self.all.set()


def main(asked: Asked) -> None:
    broker = RedisBroker(url=asked.redis, namespace=asked.namespace)  # type: ignore[no-untyped-call]
    done = Done(asked.n)
    broker.add_middleware(done)
    client = redis.Redis.from_url(asked.redis)
    ran: list[int] = []

    @dramatiq.actor(broker=broker)
    def work(number: int) -> None:
        if asked.handler == "incr":
            client.incr(asked.counter)
        ran.append(number)

    took = Took()
    for number in range(asked.n):
        work.send(number)
    took.stop()
    if asked.action == "drain":
        took = _drain(broker, done)
        counted = {"counted": int(client.get(asked.counter) or 0)} if asked.handler == "incr" else {}
        answer(asked, took, ran=len(ran), distinct=len(set(ran)), **counted)
    else:
        answer(asked, took, stored=int(client.llen(f"{asked.namespace}:default")))


def _drain(broker: RedisBroker, done: Done) -> Took:
    took = Took()
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.start()
    done.all.wait()
    took.stop()
    worker.stop()
    return took


if __name__ == "__main__":
    main(asked())
