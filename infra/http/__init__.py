"""All of `infra` that the two APIs see: problems, guards, text, paging, tokens, idempotency."""
