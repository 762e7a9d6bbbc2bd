"""Makes the small guard that ships for demonstrations: data, training, evaluation, card."""
