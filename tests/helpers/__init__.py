"""What several test files share: small models and files, the real commands, and published values."""
