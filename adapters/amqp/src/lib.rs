//! The AMQP bridge: consume, publish with confirms, retry and dead letter.
