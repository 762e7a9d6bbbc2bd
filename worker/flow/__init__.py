"""The flow of a record: received, decoded, batched, judged, published, settled."""
