"""A schema registry with Confluent's API: values in Avro, Protobuf and JSON, read by schema id."""
