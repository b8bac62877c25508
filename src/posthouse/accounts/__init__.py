"""Who uses this installation: workspaces, their members, API keys and sessions."""
