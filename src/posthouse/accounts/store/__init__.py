"""Every SQL statement of accounts: of users and their workspaces, of keys, of sessions."""
