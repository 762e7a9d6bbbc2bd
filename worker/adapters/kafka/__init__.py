"""Apache Kafka: the bus, through aiokafka, and a broker of our own for demos and tests."""
