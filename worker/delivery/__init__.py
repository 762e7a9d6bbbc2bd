"""Delivery guarantees: who publishes outcomes, and who commits offsets."""
