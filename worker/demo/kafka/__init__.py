"""A real Apache Kafka broker in its own folder, for demonstrations and tests."""
