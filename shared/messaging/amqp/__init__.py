"""The bus on RabbitMQ, 3.10 to 4.x, with aio-pika."""

from shared.messaging.amqp.bus import AmqpBus

__all__ = ["AmqpBus"]
