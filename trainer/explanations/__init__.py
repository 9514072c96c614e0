"""Why a model says what it says: where it looks, and what resembles the film."""
