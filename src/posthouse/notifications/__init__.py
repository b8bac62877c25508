"""Notifications: accepted means delivered or explained."""
