"""The statements of notifications, by what they are about."""
