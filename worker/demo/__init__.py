"""The demonstration: an embedded Kafka, sample events, a guard that ships."""
