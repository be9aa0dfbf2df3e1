"""The promises, tried out: the real service is killed again and again, and then audited."""
