"""Gives a message's place back although Redis does not hear that the message was acknowledged.

A worker holds as many messages as it has processes. If an acknowledgement fails because its connection is dead, kombu
counts the message for ever. Each time, the worker takes one message less at once, and in the end none
(https://github.com/celery/celery/issues/8030). Redis delivers the message again after the visibility timeout.
"""

from typing import Any

from kombu.transport import redis


class QoS(redis.QoS):
    def ack(self, delivery_tag: str) -> None:
        self._give_back(super().ack, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._give_back(super().reject, delivery_tag, requeue)

    def _give_back(self, tell: Any, delivery_tag: str, *more: bool) -> None:
        try:
            tell(delivery_tag, *more)
        except Exception:
            self._quick_ack(delivery_tag)
            raise


def install() -> None:
    """All channels of Redis that this process opens from now on do so."""
    redis.Channel.QoS = QoS
