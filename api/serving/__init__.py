"""How the API answers: who may ask, how often, what is kept, how errors are told."""
