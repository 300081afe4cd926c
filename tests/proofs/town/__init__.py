"""A small town that all proofs share: its texts, senders and luck, the provider's ledger, and one judge."""
