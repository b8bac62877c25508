"""The JSON routes of notifications, by what they are about."""
