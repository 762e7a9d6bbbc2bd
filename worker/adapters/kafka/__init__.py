"""Apache Kafka: the bus, through aiokafka."""
