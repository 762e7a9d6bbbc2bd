"""The demonstration: an embedded Kafka, sample events and the demonstration guard."""
