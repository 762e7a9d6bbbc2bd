"""A real Apache Kafka broker in a folder of its own, for demonstrations and tests."""
